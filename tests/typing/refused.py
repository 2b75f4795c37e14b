"""What a type checker must refuse: an ignored error that is none makes the checker call its comment needless."""

from __future__ import annotations

from payi_instrument import Payi, create_limit_header_from_ids, payi_instrument, track, track_context


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
