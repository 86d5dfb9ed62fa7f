"""The command line: one file a verb, and the one place where errors become a line and an exit code.

A verb is a public module of this package that defines ``command``; ``build_hdf5.py`` is ``gen5astro build-hdf5``.
Modules of verbs import nothing heavy before they run, so that ``--help`` answers at once.
"""

import difflib
import importlib
import os
import pkgutil
import sys
import traceback

import click

from gen5astro import __version__
from gen5astro.engine import remember_interrupts
from gen5astro.errors import Gen5Error

__all__ = ["VerbGroup", "main"]


class VerbGroup(click.Group):
    """A group whose commands are the modules beside it, and that ends as the exit codes promise.

    0 all pass; 1 a bug; 2 bad input or usage, told in one line; 3 a gate did not pass; 130 interrupted; 141 what reads
    the output has gone.
    """

    def list_commands(self, ctx):
        """Return the verbs, by name.

        Parameters
        ----------
        ctx : click.Context
            Context of the group.

        Returns
        -------
        names : list of str
            Sorted.
        """
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx, cmd_name):
        """Import the module of one verb.

        Parameters
        ----------
        ctx : click.Context
            Context of the group.
        cmd_name : str
            The verb.

        Returns
        -------
        command : click.Command or None
            None if there is no such verb.
        """
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"gen5astro.cli.{cmd_name.replace('-', '_')}").command
        command.name = cmd_name
        return command

    def resolve_command(self, ctx, args):
        """Find the verb that was asked for, naming the closest where there is none.

        Parameters
        ----------
        ctx : click.Context
            Context of the group.
        args : list of str
            The verb and what follows it.

        Returns
        -------
        name, command, rest : tuple
            As click has them.
        """
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise click.UsageError(f"no command {args[0]!r}: {guess}(there are: {', '.join(names)})", ctx=ctx)
        return super().resolve_command(ctx, args)

    def main(self, *arguments, standalone_mode=True, **options):
        """Run a command line and leave the interpreter with its exit code.

        Parameters
        ----------
        *arguments
            Passed to click: the list of arguments, default those of the process.
        standalone_mode : bool
            False lets errors through and returns instead of leaving.
        **options
            Passed to click.

        Returns
        -------
        outcome : object
            What the command returned; only where `standalone_mode` is False.
        """
        options = {"prog_name": self.name, **options, "standalone_mode": False}
        if not standalone_mode:
            return super().main(*arguments, **options)
        try:
            with remember_interrupts():
                outcome = super().main(*arguments, **options)
        except Gen5Error as error:
            _complain(error)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f" (see {context.command_path} --help)" if context else ""
            _complain(f"{' '.join(error.format_message().split())}{hint}")
            sys.exit(2)
        except SystemExit:
            # Only click and rich leave from in there: where `head`, say, has read enough.
            sys.exit(141)
        except (click.Abort, KeyboardInterrupt):
            _complain("interrupted")
            sys.exit(130)
        except OSError as error:
            if error.errno is None:
                _report_bug()
            _complain(f"{error.filename or 'the system'}: {error.strerror}")
            sys.exit(2)
        except Exception:
            _report_bug()
        sys.exit(outcome if isinstance(outcome, int) else 0)


def _complain(message):
    click.echo(f"gen5astro: {message}", err=True)


def _report_bug():
    traceback.print_exc()
    _complain(f"this is a bug in gen5astro {__version__}; please report it together with the lines above")
    sys.exit(1)


@click.group("gen5astro", cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gen5astro")
def main():
    """Tell a faulty lens injection from a physical one; build the cube, train on it, prove it on real lenses.

    A pair is a stamp (a real galaxy with an injected arc) and its ctrl (the same galaxy without). The word "sample"
    stands for the real galaxies inside the package wherever hosts are asked for. Exit codes: 0 all pass, 1 a bug,
    2 bad input, 3 a gate or an evaluation did not pass, 130 interrupted, 141 what reads the output (as head) has gone.
    """
    # Read when torch is loaded. Threads that spin while they wait for each other cost a run nine tenths of its speed
    # where anything else runs on one of their processors.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
