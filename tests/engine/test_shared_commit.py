"""Events that share a transaction: one that is refused, or known already, changes nothing about the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi

GOOD: dict[str, Any] = {"category": "demo", "units": {}}
NOWHERE: dict[str, Any] = {**GOOD, "resource": "nope"}
"""An event that is refused: nothing has its price."""
CONFIG: dict[str, Any] = {"max": 5, "limit_type": "allow"}


def run(name: str | None, use_case_id: str, **members: Any) -> dict[str, Any]:
    """Return what an event says of its use case."""
    return {"use_case_id": use_case_id, **({} if name is None else {"use_case_name": name}), **members}


def sent(client: Payi, *events: dict[str, Any]) -> list[str | None]:
    """Send events in one call and return the code of each refusal, None for what was stored."""
    answer = client.ingest.bulk(events=[*events, GOOD])  # one that is stored makes the call a success
    codes: list[str | None] = [None] * len(events)
    for error in answer.errors or []:
        assert error.xproxy_result.xproxy_error is not None
        codes[error.item_index] = error.xproxy_result.xproxy_error.code
    return codes


@pytest.fixture
def second(client: Payi) -> Payi:
    """A client that knows the use case `uc`, at its second version."""
    client.use_cases.definitions.create(name="uc", description="d", limit_config=CONFIG)  # type: ignore[arg-type]
    client.use_cases.definitions.version.increment("uc")
    return client


def version(client: Payi, use_case_id: str) -> int | None:
    return client.use_cases.retrieve(use_case_id, use_case_name="uc").type_version


def test_a_refused_event_chooses_no_version_for_another(second: Payi) -> None:
    refused = NOWHERE | run("uc", "i", use_case_version=1)
    assert sent(second, refused, GOOD | run("uc", "i")) == ["category_not_found", None]
    assert version(second, "i") == 2


def test_a_known_event_chooses_no_version_for_another(second: Payi) -> None:
    known = GOOD | {"event_id": "e"}
    assert sent(second, known) == [None]
    assert sent(second, known | run("uc", "i", use_case_version=1), GOOD | run("uc", "i")) == [None, None]
    assert version(second, "i") == 2


def test_the_first_event_that_is_kept_chooses_the_version(second: Payi) -> None:
    first, later = (GOOD | run("uc", "i", use_case_version=number) for number in (1, 2))
    assert sent(second, first, later) == [None, None]
    assert version(second, "i") == 1


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (NOWHERE | run("uc", "i"), "category_not_found"),
        (GOOD | run("uc", "i", use_case_version=9), "request_processing_error"),
        (GOOD | run("uc", "i") | {"user_id": "u" * 20_000}, "invalid_user_id"),
        (GOOD | run("uc", "i") | {"event_id": "e"}, None),
    ],
)
def test_an_id_is_not_known_by_an_event_that_was_not_kept(
    second: Payi, before: dict[str, Any], code: str | None
) -> None:
    assert sent(second, GOOD | {"event_id": "e"}) == [None]
    assert sent(second, before, GOOD | run(None, "i")) == [code, "request_processing_error"]
    assert second.limits.list().items == []


def test_an_id_is_known_by_an_event_that_was_kept_before_it(second: Payi) -> None:
    assert sent(second, GOOD | run(None, "i"), GOOD | run("uc", "i"), GOOD | run(None, "i")) == [
        "request_processing_error",
        None,
        None,
    ]
    [limit] = second.limits.list()
    assert limit.totals.requests.total == 2


def test_an_id_is_still_that_of_one_use_case_when_another_was_not_kept(second: Payi) -> None:
    assert sent(second, GOOD | run("uc", "i")) == [None]
    assert sent(second, NOWHERE | run("other", "i"), GOOD | run(None, "i")) == ["category_not_found", None]
    [limit] = second.limits.list()
    assert limit.totals.requests.total == 2
    assert sent(second, GOOD | run("other", "i"), GOOD | run(None, "i")) == [None, "request_processing_error"]


def test_a_limit_that_was_not_made_counts_nothing(second: Payi) -> None:
    assert sent(second, GOOD | run("uc", "i")) == [None]
    [limit] = second.limits.list()
    second.use_cases.delete("i", use_case_name="uc")
    second.limits.delete(limit.limit_id)
    named = GOOD | {"limit_ids": [limit.limit_id]}
    answer = second.ingest.bulk(events=[NOWHERE | run("uc", "i"), named], extra_query={"results": True})

    [_, result] = answer.results or []
    assert result is not None
    assert (result.limits, result.warnings) == ({}, [f"limit_not_found: {limit.limit_id}"])
