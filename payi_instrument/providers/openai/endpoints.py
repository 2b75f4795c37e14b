"""Say by its path what a call is, and which file reads it.

A path of the wire is the same at every host that speaks it; Azure puts the deployment before it. Source:
instrumentation-semantics section 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from payi_instrument.providers.openai import audio, chat, images, jobs, plain, responses
from payi_instrument.providers.openai.wire import parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.event import CallFacts, Usage
    from payi_instrument.providers._base import StreamReader


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Read the calls of one path: a whole answer, its bytes, a streamed one.

    `tells_usage_when_asked`: a stream has its usage only with `stream_options.include_usage`. `costs`: the call itself is
    billed, so that it may be stopped and its failure is an event. `reports_later`: what is used may be known only from a
    later call, so that there is no event before it is, and no estimate. `prefix` tells models apart that have another
    price here than elsewhere, as the catalogue does. `speaks_to_job`: the last part but one of the path is the id of work
    that goes on because of this call. `answers_sound`: with sound, unless it is asked for in events.
    """

    read: Callable[[CallFacts, Any], Usage]
    reader: Callable[[CallFacts], StreamReader]
    from_bytes: Callable[[bytes], Any] = parsed
    tells_usage_when_asked: bool = False
    costs: bool = True
    reports_later: bool = False
    prefix: str = ""
    speaks_to_job: bool = False
    answers_sound: bool = False


DECISION = Endpoint(plain.read, plain.PlainReader, prefix="decisions/")
_EMBEDDINGS = Endpoint(plain.read_embeddings, plain.PlainReader)
_IMAGES = Endpoint(images.read, images.ImageReader)
_RESPONSES = Endpoint(responses.read, responses.ResponseReader)
_SPOKEN = Endpoint(audio.read_transcription, audio.TranscriptionReader, audio.transcription_from)
_RUN = Endpoint(jobs.read, jobs.JobReader, reports_later=True)
_WORD = Endpoint(jobs.read, jobs.JobReader, reports_later=True, speaks_to_job=True)
_JOB = Endpoint(jobs.read, jobs.JobReader, costs=False, reports_later=True)
_STORED = Endpoint(responses.read, responses.ResponseReader, costs=False, reports_later=True)
_OTHER = Endpoint(plain.read, plain.PlainReader, costs=False, reports_later=True)
"""A path that we do not know makes an event when its answer bears a usage; nothing is known to stop it for."""

_POSTED = {
    "/chat/completions": Endpoint(chat.read, chat.ChatReader, tells_usage_when_asked=True),
    "/completions": Endpoint(chat.read, chat.CompletionReader, tells_usage_when_asked=True),
    "/responses": _RESPONSES,
    "/responses/compact": _RESPONSES,
    "/embeddings": _EMBEDDINGS,
    "/images/generations": _IMAGES,
    "/images/edits": _IMAGES,
    "/images/variations": _IMAGES,
    "/audio/transcriptions": _SPOKEN,
    "/audio/translations": _SPOKEN,
    "/audio/speech": Endpoint(audio.read_speech, audio.SpeechReader, audio.speech_from, answers_sound=True),
    "/decisions": DECISION,
    "/threads/runs": _RUN,
    "/agents/sessions": _RUN,
}
_PATTERNS = {
    "post": (
        (re.compile(r"/responses/[^/]+/cancel"), _STORED),
        (re.compile(r"/threads/[^/]+/runs(?:/[^/]+/submit_tool_outputs)?"), _RUN),
        (re.compile(r"/threads/[^/]+/runs/[^/]+(?:/cancel)?"), _JOB),
        (re.compile(r"/agents/sessions/[^/]+/events"), _WORD),
        (
            re.compile(r"/(?:agents|batches|chat|evals|files|fine_tuning|moderations|uploads|vector_stores)(?:/.*)?"),
            None,
        ),
        (re.compile(r".*"), _OTHER),
    ),
    "get": (
        (re.compile(r"/responses/[^/]+"), _STORED),
        (re.compile(r"/threads/[^/]+/runs/[^/]+"), _JOB),
        (re.compile(r"/agents/sessions/[^/]+/(?:events|(?:subagents/[^/]+/)?turns/[^/]+)"), _JOB),
    ),
}
"""Other paths of each method, the first that fits; those with nothing behind them are stored work, billed elsewhere."""
_BEFORE = re.compile(r"^(?:https?://[^/]+)?(?:.*/(?:v\d+\w*|deployments/[^/]+)(?=/))?")
"""What may stand before a path: a whole URL, a version, a deployment."""


def endpoint_of(method: str, url: str) -> Endpoint | None:
    """Return what reads a call; None for one that is not metered."""
    if url in _POSTED and method == "post":
        return _POSTED[url]
    return _find(method.lower(), url)


@lru_cache(4096)
def _find(method: str, url: str) -> Endpoint | None:
    path = "/" + _BEFORE.sub("", url.partition("?")[0]).strip("/")
    if method == "post" and path in _POSTED:
        return _POSTED[path]
    return next((endpoint for pattern, endpoint in _PATTERNS.get(method, ()) if pattern.fullmatch(path)), None)
