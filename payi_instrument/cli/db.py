"""`payi-instrument db`: bring a ledger up to date, check it, and take events away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from payi_instrument.cli.ledger import DatabaseUrl, open_ledger
from payi_instrument.cli.show import print_table

commands = typer.Typer(help="Look after a ledger.", no_args_is_help=True)

OlderThan = Annotated[
    str, typer.Option(help="An age in days such as 90d, or a date such as 2026-01-31, in UTC.", show_default=False)
]
UserId = Annotated[str, typer.Option(help="The user, as xProxy-User-ID said.", show_default=False)]
Application = Annotated[
    str | None, typer.Option(help="The application whose events are meant; without it all.", show_default=False)
]


@commands.command("upgrade")
def upgrade_ledger(database_url: DatabaseUrl) -> None:
    """Bring a ledger to the newest revision of its schema, or make one."""
    from payi_instrument.engine.ledger import REVISION

    with open_ledger(database_url, make=True):
        typer.echo(f"The ledger is at revision {REVISION} of its schema, the newest.")


@commands.command("verify")
def verify_ledger(database_url: DatabaseUrl) -> None:
    """Work the totals of every limit out again from the events, and compare them with those that are stored.

    Ends with 1 and a table of the differences when there are any. Who ingests meanwhile does not wait.
    """
    from payi_instrument.engine.audit import verify
    from payi_instrument.engine.ledger import from_micros

    with open_ledger(database_url) as store, store.reading() as ledger:
        found = verify(ledger)
    looked_at = f"{found.limits} limits and {found.periods} closed periods against {found.events} events"
    if not found.differences:
        typer.echo(f"All totals agree: {looked_at}.")
        return
    rows = [
        (*place[:2], from_micros(place.until).isoformat() if place.until else "running", figure, stored, from_events)
        for place, figure, stored, from_events in found.differences
    ]
    print_table(("application", "limit_id", "period_until", "figure", "stored", "from_events"), rows)
    typer.echo(f"{len(rows)} figures differ: {looked_at}.", err=True)
    raise typer.Exit(1)


@commands.command("prune")
def prune_events(database_url: DatabaseUrl, older_than: OlderThan) -> None:
    """Remove the events, prompts included, that happened and were stored before a moment.

    Totals of limits and their history, runs of use cases and their scores stay, and `verify` still works. A removed event
    that is delivered again counts again, and a limit can't be reset to a date before the moment any more.
    """
    from payi_instrument.engine.retention import prune

    before = past_moment(older_than, datetime.now(UTC))
    with open_ledger(database_url) as store:
        gone = prune(store, before)
    typer.echo(f"{gone} events from before {before.isoformat(timespec='seconds')} removed.")


@commands.command("erase")
def erase_user_data(database_url: DatabaseUrl, user_id: UserId, application: Application = None) -> None:
    """Take a user's id, account, properties, prompts and headers out of all of the user's events.

    The events stay and count as before. On SQLite the places in the file are overwritten, and its log, the `-wal` file, goes
    when the last process that has the ledger open closes it; PostgreSQL lets go of old rows when it vacuums.
    """
    from payi_instrument.engine.retention import erase_user

    with open_ledger(database_url) as store:
        erased = erase_user(store, user_id, application)
    typer.echo(f"{erased} events no longer say that they were of user {user_id}.")


def past_moment(text: str, now: datetime) -> datetime:
    """Return the moment that an age or a date means; raises `BadParameter` for anything else."""
    try:
        age = re.fullmatch(r"([0-9]+)d", text)
        moment = datetime.fromisoformat(text) if age is None else now - timedelta(days=int(age[1]))
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is neither a number of days such as 90d nor a date such as 2026-01-31"
        raise typer.BadParameter(message, param_hint="--older-than") from None
    if moment > now:
        raise typer.BadParameter(f"{text!r} lies ahead", param_hint="--older-than")
    return moment
