"""What was cut out of coadds, as a table in the terminal."""

from gen5astro.report.console import open_console
from gen5astro.report.rows import rows_table

__all__ = ["print_cutout"]

_PSF = {
    "image": "an image with each cutout",
    "fwhm": "of the widths in the columns psfsize_<band>",
    None: "none: columns psfsize_<band> or --psf are needed to inject",
}


def print_cutout(summary, *, console=None):
    """Print what was cut, and how.

    Parameters
    ----------
    summary : dict
        From `gen5astro.cutout.cut_catalog`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    counts = summary["counts"]
    resampled = ", ".join(summary["resampled"])
    rows = {
        "rows": f"{counts['read']:,} in = {counts['cut']:,} cut + {counts['rejected']:,} rejected",
        "images": f"{', '.join(summary['bands'])}; {summary['size']} x {summary['size']} pix of "
        f"{summary['pixel_scale']:g} arcsec",
        "resampled": f"{resampled}: cubic spline; noise is correlated" if resampled else "none: pixels as they were",
        "psf": _PSF[summary["psf"]],
        "written": summary["out"],
    }
    console.print(rows_table(rows))
