"""A server over an empty ledger of either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from running import DATABASES, Running, ledger_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for a file's tests, which leave each other alone by the names that they use."""
    running = Running(ledger_of(request.param, tmp_path_factory), max_body=1 << 20)
    yield running
    running.stop()
