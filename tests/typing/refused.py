"""What a type checker must refuse: an ignored error that is none makes the checker call its comment needless."""

from __future__ import annotations

import httpx

from payi_instrument import AsyncPayi, Payi, create_limit_header_from_ids, payi_instrument, track, track_context
from payi_instrument.types import LimitResponse


@track(user_id="u")
def tracked(a: int) -> str:
    return str(a)


@track(user_id="u")
async def later(a: int) -> str:
    return str(a)


def mistakes(client: Payi) -> None:
    tracked("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracked(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    never_awaited: str = later(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    another: int = tracked(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    track_context(user_id=never_awaited, use_case_version=another)
    track_context(limit_ids="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    track_context(limit_ids=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    track_context(user_id=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    track_context(request_tags=["t"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    track(limit_ids="a")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    track(request_tags=["t"])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    create_limit_header_from_ids(limit_ids="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    payi_instrument(client, instruments=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    payi_instrument(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Payi(http_client=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    AsyncPayi(http_client=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Payi("k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.limits.retrieve(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.limits.create(limit_name="n")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.limits.create(limit_name="n", max="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.ingest.units(category="c", units={"text": {"input": "1"}})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    client.ingest.units(category="c", units={}, event_timestamp=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    limit: LimitResponse = client.limits.with_raw_response.retrieve("a")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    Payi(timeout=limit)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.limits.retrieve("a", timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.limits.list().to_dict(mode="xml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.limits.list().to_json(indents=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
