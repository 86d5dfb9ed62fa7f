"""``gen5astro settings``."""

import dataclasses

import click

from gen5astro.cli._common import common_options, show
from gen5astro.config import Config

_SECTIONS = [each.name for each in dataclasses.fields(Config)]


@click.command()
@click.argument("section", required=False, type=click.Choice(_SECTIONS), metavar="[SECTION]")
@common_options(without=("threads", "quiet", "force"))
def command(section, config, as_json):
    """List every setting with its default and its meaning.

    SECTION is one of those of a TOML file; without it all are listed. A key of another section than the command's own
    is given to any command as --set SECTION.KEY=VALUE. With --config or --set the values are those that they make.

    \b
    Example:
      gen5astro settings train
      gen5astro settings --config train.toml --json
    """
    from gen5astro.report.settings import print_settings, settings_record

    show(settings_record(config, section), print_settings, as_json=as_json)
