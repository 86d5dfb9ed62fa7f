"""What the verbs share: the common options, progress, showing a record, claiming a place to write, exit codes.

A verb is one file and ends with what its command returns, an exit code or None for 0::

    @click.command()
    @click.argument("pairs")
    @click.option("--out", required=True, type=FOLDER, help="Folder to write.")
    @common_options("audit")
    def command(pairs, out, config, threads, quiet, as_json, force):
        '''Tell a faulty injection from a physical one.'''
        from gen5astro.audit import audit_pairs
        from gen5astro.report.terminal import print_audit

        claim_folder(out, force=force)
        source = open_pairs(pairs)
        with progress("measuring pairs", source.n_rows, quiet=quiet) as advance:
            result = audit_pairs(source, config=config, threads=threads, advance=advance)
        show(result.record, print_audit, as_json=as_json, quiet=quiet)
        return exit_code(result.record["status"])

Errors are raised, never caught, here and in the verbs: `gen5astro.cli.main` turns them into one line and an exit code.
"""

import contextlib
import dataclasses
import functools
import json
import sys
import time
from pathlib import Path

import click

from gen5astro.cli._outputs import refuse_input_as_output
from gen5astro.config import Config
from gen5astro.engine import DoneBefore
from gen5astro.errors import ConfigError
from gen5astro.settings import load_config
from gen5astro.verdict import Status

__all__ = [
    "FILE",
    "FOLDER",
    "bands_option",
    "column_option",
    "common_options",
    "exit_code",
    "progress",
    "reading_options",
    "say",
    "show",
]

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def common_options(section=None, *, without=(), spread=False, rejects=False, keys=()):
    """Give a command the options that mean the same in every verb.

    The command receives ``config`` (a `Config` made of ``--config``, ``--set`` and, where the section has one,
    ``--seed``), ``threads`` (int or None), ``quiet``, ``as_json`` and ``force`` (bool).

    Parameters
    ----------
    section : str, optional
        Section of the config that a bare key belongs to: ``train`` lets ``--set epochs=3`` mean ``train.epochs=3``.
    without : iterable of str
        Options that would do nothing in this verb, of ``threads``, ``quiet``, ``json`` and ``force``.
    spread : bool
        Whether the verb's work on blocks can be spread over a cluster: gives it ``--scheduler``.
    rejects : bool
        Whether the verb reads rows that may be bad: it then has ``--max-reject-fraction`` for the key
        ``audit.max_reject_fraction``.
    keys : iterable of str
        Options of the verb's own that stand for keys of the section by their names; the config has them.

    Returns
    -------
    decorator : callable
        To be put below ``@click.command`` and the verb's own options.
    """
    parameters = {
        "threads": click.option("--threads", type=click.IntRange(min=1), help="Threads.  [default: all processors]"),
        "force": click.option("--force", is_flag=True, help="Overwrite what is there."),
        "quiet": click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
        "json": click.option("--json", "as_json", is_flag=True, help="Print the record as JSON instead of tables."),
    }
    hint = "Dask scheduler that does the work on blocks: tcp://HOST:PORT, or local:N for N processes here."
    if spread:
        parameters["scheduler"] = click.option("--scheduler", metavar="ADDRESS", help=hint)
    seeded = section is not None and _has_seed(section)

    def decorate(function):
        @functools.wraps(function)
        def with_config(
            *args, config_file, settings, seed_setting=None, reject_setting=None, scheduler=None, **options
        ):
            if options.get("resume") and options.get("force"):
                raise click.UsageError(
                    "--resume goes on with what is there, --force overwrites it: give one of the two"
                )
            own = {f"--{name.replace('_', '-')}": (f"{section}.{name}", options[name] or None) for name in keys}
            own["--seed"] = f"{section}.seed", seed_setting
            own["--max-reject-fraction"] = "audit.max_reject_fraction", reject_setting
            config = load_config(config_file, settings, section=section, options=own)
            refuse_input_as_output(options)
            with _writing(options.get("out")), _workers(scheduler):
                return function(*args, config=config, **options)

        wrapped = with_config
        for name in reversed([name for name in parameters if name not in without]):
            wrapped = parameters[name](wrapped)
        if seeded:
            wrapped = click.option("--seed", "seed_setting", type=click.IntRange(min=0), help="Random seed.")(wrapped)
        if rejects:
            share = click.FloatRange(0, 1)
            text = "Share of bad rows above which the run fails.  [default: 0.01]"
            option = click.option("--max-reject-fraction", "reject_setting", type=share, metavar="F", help=text)
            wrapped = option(wrapped)
        hint = f"Any config key; a bare one is of section {section}." if section else "Any config key."
        wrapped = click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help=hint)(wrapped)
        return click.option("--config", "config_file", type=FILE, help="Settings (TOML).")(wrapped)

    return decorate


def _workers(scheduler):
    if scheduler is None:
        return contextlib.nullcontext()
    from gen5astro.cluster import cluster

    return cluster(scheduler)


@contextlib.contextmanager
def _writing(out):
    """`gen5astro.io.room.writing`, which is imported where something went wrong: most verbs end without."""
    try:
        yield
    except Exception as error:
        from gen5astro.io.room import writing

        with writing(out):
            raise error


def _has_seed(section):
    return "seed" in {each.name for each in dataclasses.fields(getattr(Config(), section))}


def column_option(function):
    """Give a command the option ``--column``; it receives ``columns``, our name to theirs.

    Parameters
    ----------
    function : callable
        The command's function.

    Returns
    -------
    function : callable
        With the option.
    """
    return click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="NAME=COLUMN",
        callback=lambda _context, _option, given: dict(map(_split_column, given)),
        help="Where your table has another name: theta_e_arcsec=einstein_radius.",
    )(function)


def reading_options(function):
    """Give a command the options that say how images are to be read; it receives ``reading``, for `open_pairs`.

    These are ``--column``, ``--bands`` and ``--pixel-scale``.

    Parameters
    ----------
    function : callable
        The command's function.

    Returns
    -------
    function : callable
        With the options.
    """

    @functools.wraps(function)
    def with_reading(*args, columns, bands, pixel_scale, **options):
        return function(*args, reading={"columns": columns, "bands": bands, "pixel_scale": pixel_scale}, **options)

    scale = click.option(
        "--pixel-scale", type=click.FloatRange(min=0, min_open=True), help="Arcsec a pixel, where the images tell none."
    )
    bands = bands_option("Bands in the order of the planes, where the images tell none.")
    return column_option(bands(scale(with_reading)))


def bands_option(text):
    """Make the option ``--bands``; the command receives ``bands``, a tuple of str or None.

    Parameters
    ----------
    text : str
        What it is for.

    Returns
    -------
    decorator : callable
        To be put above a command's function.
    """
    return click.option(
        "--bands",
        metavar="NAME,...",
        callback=lambda _context, _option, given: None if given is None else _split_bands(given),
        help=text,
    )


def _split_bands(text):
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"--bands {text}", got="an empty or repeated name", expected="names such as g,r,i,z")
    return names


def _split_column(text):
    name, equals, column = (part.strip() for part in text.partition("="))
    if not (name and equals and column):
        raise ConfigError(f"--column {text}", got="no name on either side of '='", expected="NAME=COLUMN")
    return name, column


@contextlib.contextmanager
def progress(label, total=None, *, quiet=False):
    """Show how far a piece of work is, on standard error: a bar on a terminal, one closing line elsewhere.

    Parameters
    ----------
    label : str
        What is being done, such as ``measuring pairs``.
    total : int, optional
        Amount of work; without it the bar only moves.
    quiet : bool
        Show nothing.

    Yields
    ------
    advance : callable
        ``advance(n=1, *, note=None)`` adds `n` to the work done; may be called from any thread. The rate is of what
        this run does: what is `DoneBefore` counts as done and no more. A note, a few words on how the work goes,
        stands on the bar in place of the rate until there is another.
    """
    if quiet:
        yield _ignore
        return
    if sys.stderr.isatty():
        with _bar(label, total) as advance:
            yield advance
        return
    start, done, before = time.monotonic(), 0, 0

    def count(n=1, **_):
        nonlocal done, before
        if isinstance(n, DoneBefore):
            before += n
        else:
            done += n

    yield count
    seconds = time.monotonic() - start
    earlier = f", beside {before:,} done before" if before else ""
    say(f"{label}: {done:,} in {seconds:.1f} s, {done / max(seconds, 1e-3):,.0f} a second{earlier}")


def _ignore(n=1, **_):
    pass


@contextlib.contextmanager
def _bar(label, total):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    how = TextColumn("{task.fields[note]}", justify="right")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), how, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task, noted = bar.add_task(label, total=total, note=""), None

        def advance(n=1, *, note=None):
            nonlocal noted
            if isinstance(n, DoneBefore):
                bar.reset(task, completed=int(n))
                return
            bar.advance(task, n)
            noted, speed = note or noted, bar.tasks[0].speed
            bar.update(task, note=noted or ("" if speed is None else f"{speed:,.0f} / s"))

        yield advance


def say(message, *, quiet=False):
    """Print a line for people, on standard error; standard output is for results.

    Parameters
    ----------
    message : str
        The line.
    quiet : bool
        Print nothing.
    """
    if not quiet:
        # Click alone would write past what the bar has put in place of standard error, and into the bar.
        click.echo(message, file=sys.stderr, err=True)


def show(record, printer, *, as_json=False, quiet=False):
    """Print a record on standard output: as JSON where asked, else with its printer.

    Parameters
    ----------
    record : dict
        Plain types, as they are written to the JSON file.
    printer : callable
        ``printer(record)`` prints tables for people.
    as_json : bool
        Print JSON; this holds even when `quiet`.
    quiet : bool
        Print no tables.
    """
    if as_json:
        click.echo(json.dumps(record, indent=2, sort_keys=True, allow_nan=False))
    elif not quiet:
        printer(record)


def exit_code(status):
    """Return the exit code that belongs to a status.

    Parameters
    ----------
    status : str or Status
        What the gates say together.

    Returns
    -------
    code : int
        0 for PASS and SKIP, 3 for anything else.
    """
    return 0 if Status(status).passed else 3
