"""Server-sent events in raw bytes: however they are chopped, the caller gets the same bytes, and we see every event."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from payi_instrument.providers._sse import EventFilter

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=12)
CUTS = st.lists(st.integers(0, 400), max_size=20)


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in pairwise(places)]


def passed(events: EventFilter, pieces: list[bytes]) -> bytes:
    return b"".join([*map(events.feed, pieces), events.rest()])


@given(st.binary(max_size=400), CUTS)
def test_any_bytes_pass_unchanged(data: bytes, cuts: list[int]) -> None:
    assert passed(EventFilter(lambda _: False), chopped(data, cuts)) == data


@given(st.text(alphabet="\r\n:da t"), CUTS)
def test_any_mixture_of_line_ends_passes_unchanged(text: str, cuts: list[int]) -> None:
    data = text.encode()
    assert passed(EventFilter(lambda _: False), chopped(data, cuts)) == data


@given(st.lists(st.tuples(TEXT, st.booleans())), LINE_ENDS, st.booleans(), CUTS)
def test_every_event_is_seen_once_and_only_dropped_ones_are_missing(
    texts: list[tuple[str, bool]], end: str, closed: bool, cuts: list[int]
) -> None:
    written = [f"data: {'drop' if drop else 'keep'} {text}{end}{end}" for text, drop in texts]
    if written and not closed:  # the last event is cut off before its blank line
        written[-1] = written[-1].removesuffix(end)
    seen: list[str] = []

    def see(data: str) -> bool:
        seen.append(data)
        return data.startswith("drop")

    got = passed(EventFilter(see), chopped("".join(written).encode(), cuts))

    assert seen == [f"{'drop' if drop else 'keep'} {text}" for text, drop in texts]
    assert got.decode() == "".join(event for event, (_, drop) in zip(written, texts, strict=True) if not drop)


def test_an_event_is_passed_on_as_soon_as_it_is_whole() -> None:
    events = EventFilter(lambda _: False)
    assert events.feed(b"data: 1\n\ndata:") == b"data: 1\n\n"
    assert events.feed(b" 2\r") == b""
    assert events.feed(b"\n\r\ndata: 3") == b"data: 2\r\n\r\n"
    assert events.rest() == b"data: 3"


def test_lines_of_data_are_joined_and_other_fields_left_out() -> None:
    seen: list[str] = []
    EventFilter(lambda data: bool(seen.append(data))).feed(
        ": comment\nid: 7\ndata: one\nevent: x\ndata:two\u2028\x85still two\n\n".encode()
    )
    assert seen == ["one\ntwo\u2028\x85still two"]
