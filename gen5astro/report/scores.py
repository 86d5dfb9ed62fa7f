"""What a network made of a survey's images, as a table in the terminal."""

from rich.text import Text

from gen5astro.report.console import open_console
from gen5astro.report.rows import rows_table

__all__ = ["print_scores"]


def print_scores(summary, *, console=None):
    """Print how many images were scored, how, and what is known of the network's fitness.

    Parameters
    ----------
    summary : dict
        From `gen5astro.inference.predict`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    counts, model = summary["counts"], summary["model"]
    scored = counts["scored"]
    above = (f"{count:,} above {name} ({count / scored:.2%})" for name, count in summary["above"].items())
    quantiles = (f"{float(share):.4g}%: {value:.5f}" for share, value in _percent(summary["quantiles"]))
    rows = {
        "rows": f"{counts['read']:,} in = {scored:,} scored + {counts['rejected']:,} rejected",
        "scores": ", ".join(above),
        "quantiles": ", ".join(quantiles),
        "network": f"{model['checkpoint']} ({model['digest'][:12]}), trained on cube {model['cube_digest'][:12]}, "
        f"audit {model['audit_status'] or 'absent'}",
        "written": summary["out"],
        "deployment": Text(summary["deployment"], style="bold yellow"),
    }
    if model["override_gate"]:
        rows["override"] = Text(f"a gate was overridden: {model['override_gate']}", style="bold yellow")
    console.print(rows_table(rows))


def _percent(quantiles):
    return ((100 * float(share), value) for share, value in quantiles.items())
