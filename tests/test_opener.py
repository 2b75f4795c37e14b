"""One decorated function, many threads in different scopes at once: each sees its own."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from payi_instrument import get_context, track, track_context

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@track(account_name="shared")
def seen_user() -> object:
    return get_context().get("user_id")


@pytest.mark.usefixtures("eager_switching")
def test_a_merge_kept_for_one_scope_never_serves_another() -> None:
    wrong: list[tuple[str, object]] = []

    def serve(user: str) -> None:
        for _ in range(400):
            with track_context(user_id=user):
                seen = seen_user()
            if seen != user:
                wrong.append((user, seen))

    threads = [threading.Thread(target=serve, args=(f"u{number}",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
