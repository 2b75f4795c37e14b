"""What holds for one meter holds for all four: every test here that takes `client` or `place` runs on each."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from meters import METERS, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = " ".join(str(marker.args[0]) for marker in metafunc.definition.iter_markers("parametrize"))
    for name in ("client", "place"):
        if name in metafunc.fixturenames and name not in chosen:
            metafunc.parametrize(name, METERS, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty ledger for several clients of one meter."""
    with closing(Place(request.param, tmp_path)) as place:
        yield place
