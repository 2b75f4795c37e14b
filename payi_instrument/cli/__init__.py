"""The command line, `payi-instrument`: serving a meter, its keys, and the care of a ledger.

A command ends with 0; with 1 when it checked something and found it wrong; with 2 when it could not be done, which a line
on standard error says why.
"""

from __future__ import annotations

import sys

from payi_instrument.errors import PayiError, check_installed


def main() -> None:
    """Do what the process's arguments say, and end it."""
    try:
        _run()
    except (PayiError, UnicodeEncodeError) as error:  # an argument that is no UTF-8 is no name that a ledger holds
        sys.stderr.write(f"payi-instrument: {error}\n")
        sys.exit(2)


def _run() -> None:
    check_installed("the command line", "cli", ("typer", "rich"))
    import typer

    from payi_instrument.cli import db, keys
    from payi_instrument.cli.serve import serve

    app = typer.Typer(
        help="Look after a meter of LLM spend.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.command()(serve)
    app.add_typer(keys.commands, name="keys")
    app.add_typer(db.commands, name="db")
    app(prog_name="payi-instrument")
