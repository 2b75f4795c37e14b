"""The ledger that a command works on."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from collections.abc import Generator

    from payi_instrument.engine.store_core.store import CoreStore

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        help="The ledger, as sqlite:///file.db or postgresql://user@host/database.",
        show_default=False,
    ),
]


@contextmanager
def open_ledger(url: str, *, make: bool = False) -> Generator[CoreStore]:
    """Open the ledger that a URL names, at the newest revision of its schema, and close it behind the block.

    A file that is not there is made only with `make`. Raises `PayiError` when the ledger can't be opened.
    """
    from payi_instrument.engine.address import Address

    try:
        address = Address.of(url)
    except ValueError as error:
        raise PayiError(f"--database-url {error}") from None
    if address.place is None:
        raise PayiError("--database-url sqlite://: that is memory of one process; name a file, as sqlite:///file.db")
    if not make and not address.is_postgres and not Path(address.place).exists():
        raise PayiError(
            f"there is no ledger at {address.place}: check --database-url, or make one with `payi-instrument db upgrade`"
        )
    with closing(address.store()) as store, closing(store.core()) as core:
        yield core
