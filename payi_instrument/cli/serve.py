"""`payi-instrument serve`: one meter for many machines."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

import typer

from payi_instrument.cli.ledger import DatabaseUrl
from payi_instrument.errors import PayiError, check_installed
from payi_instrument.server.settings import LogLevel, ServerSettings

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes that serve; about one a core.")]
StrictLimits = Annotated[bool, typer.Option("--strict-limits", help="Refuse events that name an unknown limit.")]
Unpriced = Annotated[
    Literal["reject", "record"] | None,
    typer.Option(help="What becomes of an event whose resource has no price.", show_default="reject"),
]
BlockLimits = Annotated[
    Literal["evaluate", "reject"] | None,
    typer.Option(help="Whether an event may name a limit of type block.", show_default="evaluate"),
]
MaxBody = Annotated[int, typer.Option(min=1024, help="Largest body of a request, in bytes.")]
Logged = Annotated[LogLevel, typer.Option(help="What is logged.")]


def serve(  # noqa: PLR0917  # one argument an option
    database_url: DatabaseUrl,
    host: Host = ServerSettings.host,
    port: Port = ServerSettings.port,
    workers: Workers = ServerSettings.workers,
    strict_limits: StrictLimits = False,  # noqa: FBT002  # Typer's way to a flag
    unpriced_events: Unpriced = None,
    block_limits_on_ingest: BlockLimits = None,
    max_body: MaxBody = ServerSettings.max_body,
    log_level: Logged = ServerSettings.log_level,
) -> None:
    """Serve the REST API on a ledger until the process is told to stop; keys come from `payi-instrument keys create`."""
    check_installed("the server", "server", ("starlette", "uvicorn", "prometheus_client"))
    from payi_instrument.server.run import serve as run

    given = {
        "strict_limits": "true" if strict_limits else None,
        "unpriced_events": unpriced_events,
        "block_limits_on_ingest": block_limits_on_ingest,
    }
    url = _with_options(database_url, {name: value for name, value in given.items() if value})
    try:
        run(ServerSettings(url, host, port, workers, max_body, log_level))
    except ValueError as error:
        raise PayiError(f"--database-url {error}") from None


def _with_options(url: str, options: dict[str, str]) -> str:
    """Write options into a ledger's URL, where its meter reads them."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}" if options else url
