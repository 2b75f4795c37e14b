"""`payi-instrument keys`: make, list and revoke the keys that a server takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from payi_instrument.cli.ledger import DatabaseUrl, open_ledger
from payi_instrument.cli.show import print_table

commands = typer.Typer(help="Make, list and revoke the keys that a server takes.", no_args_is_help=True)

Application = Annotated[
    str, typer.Option(help="Whose limits, use cases and requests the key opens.", show_default=False)
]
Scope = Annotated[
    str,
    typer.Option(help="What it may do: admin everything, read every GET, ingest what an instrumented program does."),
]
KeyId = Annotated[str, typer.Argument(help="The part of the key between payi_ and the next _.", show_default=False)]


@commands.command("create")
def create_key(database_url: DatabaseUrl, application: Application, scope: Scope = "admin") -> None:
    """Make a key and print it, alone on the last line. It is shown this once.

    Two keys of an application and scope may be live at a time: make the new one, move the programs over, revoke the old.
    """
    with open_ledger(database_url, make=True) as store, store.transaction("keys") as ledger:
        key = ledger.keys.create(application, scope, datetime.now(UTC))
    typer.echo(f"A key of scope {scope} for application {application}, its id is {key.key_id}.")
    typer.echo("It is shown this once: the ledger keeps a hash of it. Programs take it as PAYI_API_KEY.")
    typer.echo(str(key))


@commands.command("list")
def list_keys(database_url: DatabaseUrl) -> None:
    """List all keys, revoked ones too; no secret is shown, for none is known."""
    with open_ledger(database_url) as store, store.reading() as ledger:
        keys = ledger.keys.all()
    print_table(("key_id", "application", "scope", "created", "revoked"), [list(key.values()) for key in keys])


@commands.command("revoke")
def revoke_key(key_id: KeyId, database_url: DatabaseUrl) -> None:
    """Refuse a key from now on; a server that runs follows within seconds."""
    with open_ledger(database_url) as store, store.transaction("keys") as ledger:
        key = ledger.keys.revoke(key_id, datetime.now(UTC))
    whose = f"of scope {key['scope']} for application {key['application']}"
    typer.echo(f"Key {key_id} {whose} is revoked since {key['revoked'].isoformat(timespec='seconds')}.")
