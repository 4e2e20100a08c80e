"""The `mpesa` command: payments, checks and the local gateway from a terminal, without records.

Its commands read options and print; what a call is and what became of it is core's to say.
"""

from __future__ import annotations

import logging
import sys

import click

from .. import __version__
from .calls import b2b, b2c, c2b, name, reverse, status
from .gateway import simulator
from .settings import bearer, codes, doctor

_EXIT_CODES_HELP = """\b
Exit codes:
  0  the gateway said yes
  1  a problem was found (doctor), or the local gateway cannot run
  2  wrong usage or configuration; nothing was sent
  3  a value was refused; no money moved
  4  the credentials were refused; no money moved
  5  declined: failed or cancelled; no money moved
  6  the third-party reference was used before
  7  surely not accepted: safe to run again
  8  OUTCOME UNKNOWN: money may have moved; query it, do not run it again
"""


@click.group(epilog=_EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mpesa")
@click.option("-v", "--verbose", is_flag=True, help="Show logs on standard error.")
def main(verbose: bool) -> None:
    """M-Pesa payments (Vodacom Mozambique).

    Settings come from options, from a file with --account (a local gateway writes one), or from
    MPESA_... environment variables, in that order. Try it without an account: mpesa simulator
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
    )


for _command in (c2b, b2c, b2b, reverse, status, name, bearer, codes, doctor, simulator):
    main.add_command(_command)
