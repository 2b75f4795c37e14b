"""Speech to text and text to speech: https://platform.openai.com/docs/api-reference/audio.

Transcriptions are billed by tokens or by the second. An answer that is only text, subtitles or sound has no room for a
usage: its subtitles, the size of the file that was sent, or the text that was spoken say about how much it was.
"""

from __future__ import annotations

import re
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any, cast

from payi_instrument.event import CallFacts, Units, Usage
from payi_instrument.providers._estimate import estimate_tokens
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import Lenient, billed_as, failure_of, members, parsed, strings, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BYTES_PER_SECOND = 16_000
"""Of a sound file, for estimates only: 128 kbit/s, as most compressed ones have; speech in a raw one has twice that."""
_BY_TOKEN, _TOKENS_PER_SECOND = "gpt-4o", 17
"""Models that are billed by tokens of sound, and how many a second has: $0.006 a minute at $6 a million."""
_BY_SECOND = "whisper"
_BY_CHARACTER = ("tts-1", "canopylabs/orpheus")
_TOKENS_PER_CHARACTER = 1.3
"""What is spoken for a character, for estimates only: 20 tokens a second, 15 characters a second."""
_SUBTITLE_END = re.compile(r"--> *(?:(\d+):)?(\d+):(\d+)")


def read_transcription(facts: CallFacts, answer: Any) -> Usage:
    """Return what a transcription or translation says it used, or how long it is; else an estimate by the file's size."""
    return _transcription(facts, answer, lambda: _sent(facts))


def _transcription(facts: CallFacts, answer: Any, sent: Callable[[], int]) -> Usage:
    told = members(answer)
    if is_reported(told.get("usage")):
        return Usage(units=units_of(told["usage"], read="audio"))
    said = answer if isinstance(answer, str) else told.get("text")
    if not isinstance(said, str):
        failure = failure_of(told.get("error"))
        if failure is None:
            raise unreadable(answer)
        return Usage(failure=failure)
    duration = _seconds(told.get("duration"))
    seconds = duration or _last_subtitle(said) or ceil(sent() / _BYTES_PER_SECOND)
    if billed_as(facts, _BY_TOKEN, _BY_SECOND).startswith(_BY_TOKEN):
        units: Units = {"text": (0, estimate_tokens([said]))}
        if seconds:
            units["audio"] = (seconds * _TOKENS_PER_SECOND, 0)
        return Usage(units=units, estimated=True)
    return Usage(units={"audio_seconds": (seconds, 0)}, estimated=not duration)


def _seconds(duration: Any) -> int:
    """Return a duration in whole seconds, 0 for what is none; some answers have it as text."""
    try:
        return max(ceil(float(duration)), 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def _last_subtitle(said: str) -> int:
    """Return the second in which subtitles end, 0 for what is none."""
    ends = _SUBTITLE_END.findall(said)
    return max(
        (int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + 1 for hours, minutes, seconds in ends), default=0
    )


def _sent(facts: CallFacts) -> int:
    """Return how many bytes of sound were sent: ask before the file is closed."""
    return sum(_sizes(facts.body.get("file")))


def _sizes(file: Any) -> Iterator[int]:
    """Return the size of a file as far as it shows one; one that was sent has been read to its end."""
    for part in cast("Sequence[Any]", file) if isinstance(file, tuple) else (file,):
        if isinstance(part, bytes):
            yield len(part)
        elif hasattr(part, "tell") and not part.closed:
            with suppress(OSError):  # a pipe was never anywhere
                yield part.tell()


def transcription_from(body: bytes) -> Any:
    """Return a transcription from its bytes: an object, or text."""
    answer = parsed(body)
    return answer if isinstance(answer, Lenient) else body.decode(errors="replace")


class TranscriptionReader:
    """Gather the usage of a streamed transcription."""

    __slots__ = ("_done", "_facts", "_failure", "_sent", "_texts")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._sent = _sent(facts)
        self._done: Any = None
        self._failure: tuple[str, str | None] | None = None
        self._texts: list[str] = []

    @property
    def has_text(self) -> bool:
        """Say whether a piece of the transcript was seen."""
        return bool(self._texts)

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        told = members(event)
        kind = str(told.get("type"))
        if kind.endswith(".text.delta"):
            self._texts += strings([told.get("delta") or told.get("text")])
        elif kind.endswith(".done"):  # Mistral calls it transcription.done
            self._done = event
        self._failure = failure_of(told.get("error")) or self._failure
        return False

    def usage(self) -> Usage:
        """Return what was used: as the event that ended it reported it, else an estimate by the file's size."""
        told = {name: value for name, value in members(self._done).items() if value is not None}
        answer = {"text": "".join(self._texts), **told}
        found = _transcription(self._facts, answer, lambda: self._sent)
        found.failure = self._failure
        return found


def read_speech(facts: CallFacts, answer: Any) -> Usage:
    """Return what speech took: as its last event reported it, else by the text that was to be spoken."""
    reported = (usage for event in _events(answer) if is_reported(usage := members(event).get("usage")))
    return _speech(facts, next(reported, None))


def _speech(facts: CallFacts, usage: Any) -> Usage:
    if usage is not None:
        return Usage(units=units_of(usage, made="audio"))
    spoken = "".join(strings([facts.body.get("input")]))
    if billed_as(facts, _BY_TOKEN, *_BY_CHARACTER).startswith(_BY_CHARACTER):
        return Usage(units={"characters": (len(spoken), 0)})
    asked = estimate_tokens(strings([spoken, facts.body.get("instructions")]))
    units: Units = {"text": (asked, 0), "audio": (0, ceil(len(spoken) * _TOKENS_PER_CHARACTER))}
    return Usage(units=units, estimated=True)


def _events(body: Any) -> Iterator[Any]:
    """Return the events of speech that was asked for as server-sent events; sound has none."""
    if isinstance(body, bytes) and body.startswith((b"data:", b"event:", b":")):
        for line in body.splitlines():
            if line.startswith(b"data:"):
                yield parsed(line[5:])


class SpeechReader:
    """Say what speech took that came as events, or that nobody listened to its end."""

    __slots__ = ("_done", "_facts", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is on its way."""
        self._facts = facts
        self._done: Any = None
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        if is_reported(members(event).get("usage")):
            self._done = event
        return False

    def usage(self) -> Usage:
        """Return what was used: as its last event reported it, else by the text that was to be spoken."""
        return _speech(self._facts, members(self._done).get("usage"))


def speech_from(body: bytes) -> Any:
    """Return speech as its bytes."""
    return body
