"""The pytest plugin: a fixture that meters a test's calls in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payi_instrument.testing import MemoryMeter


@pytest.fixture
def payi_meter() -> Iterator[MemoryMeter]:
    """Meter every provider call of the test on a ledger in memory; its `events` and `client` tell what happened."""
    from payi_instrument.testing import metered

    with metered() as meter:
        yield meter
