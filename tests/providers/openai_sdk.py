"""Every form in which the openai SDK makes its calls, as the conformance suite runs them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from io import BytesIO
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import openai
from openai_answers import ANSWERS
from pydantic import BaseModel
from sdks import Form, Sdk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn

HEADERS = {"xProxy-User-ID": "ada", "X-Own": "kept"}


class Sum(BaseModel):
    number: int


def once(answer: Any) -> Iterator[Any]:
    yield answer


async def aonce(answer: Any) -> AsyncIterator[Any]:
    yield answer


def read_raw(answer: Any) -> Iterator[Any]:
    yield answer.content
    yield answer.headers["x-request-id"]
    yield answer.parse()


async def aread_raw(answer: Any) -> AsyncIterator[Any]:
    for item in read_raw(answer):
        yield item


def iterate(answer: Any) -> Iterator[Any]:
    yield from answer


async def aiterate(answer: Any) -> AsyncIterator[Any]:
    async for item in answer:
        yield item


def read_raw_sound(answer: Any) -> Iterator[Any]:
    yield answer.content
    yield answer.parse().content


async def aread_raw_sound(answer: Any) -> AsyncIterator[Any]:
    for item in read_raw_sound(answer):
        yield item


async def alines(answer: Any) -> AsyncIterator[Any]:
    async for line in answer.iter_lines():
        yield line


@dataclass(frozen=True)
class Call:
    """How a form opens: a method of a resource of the SDK, with what it is given besides the request."""

    resource: str
    method: str
    more: dict[str, Any]

    def __call__(self, client: Any, ask: dict[str, Any]) -> Any:
        return getattr(attrgetter(self.resource)(client), self.method)(**fresh(ask), **fresh(self.more))


class Resource:
    """A resource of the SDK, by its dotted name, and the forms of calling its methods."""

    def __init__(self, name: str) -> None:
        self._name = name

    def call(self, method: str = "create", **more: Any) -> Call:
        return Call(self._name, method, more)

    def raw(self, method: str = "create", **more: Any) -> Call:
        return Call(f"{self._name}.with_raw_response", method, more)

    def streaming(self, method: str = "create", **more: Any) -> Call:
        return Call(f"{self._name}.with_streaming_response", method, more)

    def whole(self, method: str = "create", name: str = "", **more: Any) -> tuple[Form, ...]:
        """A method's forms that answer at once."""
        name = name and f"{name} "
        return (
            Form(f"{name}plain", self.call(method, **more), once, aonce),
            Form(f"{name}raw", self.raw(method, **more), read_raw, aread_raw),
            Form(
                f"{name}streaming",
                self.streaming(method, **more),
                lambda answer: answer.iter_lines(),
                alines,
                read_later=True,
            ),
        )

    def streams(self, method: str = "create", name: str = "") -> tuple[Form, ...]:
        """A method's forms that answer in pieces."""
        name = name and f"{name} "
        return (
            Form(f"{name}stream", self.call(method, stream=True), iterate, aiterate, in_pieces=True),
            Form(
                f"{name}raw stream",
                self.raw(method, stream=True),
                lambda answer: iterate(answer.parse()),
                lambda answer: aiterate(answer.parse()),
                in_pieces=True,
            ),
            Form(
                f"{name}streaming stream",
                self.streaming(method, stream=True),
                lambda answer: answer.iter_bytes(100),
                lambda answer: answer.iter_bytes(100),
                in_pieces=True,
                of_bytes=True,
            ),
        )


def fresh(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with files that were not read yet: a call reads them to their end."""
    return {
        name: (value[0], BytesIO(value[1])) if isinstance(value, tuple) else value for name, value in arguments.items()
    }


CHAT = Resource("chat.completions")
RESPONSES = Resource("responses")
EMBEDDINGS = Resource("embeddings")
COMPLETIONS = Resource("completions")
IMAGES = Resource("images")
DECISIONS = Resource("decisions")
TRANSCRIPTIONS = Resource("audio.transcriptions")
TRANSLATIONS = Resource("audio.translations")
SPEECH = Resource("audio.speech")
WAVE = ("speech.wav", b"RIFF" + bytes(32_000))
PICTURE = ("apple.png", b"\x89PNG" + bytes(100))


def parsed_twice(answer: Any) -> Iterator[Any]:
    """Read speech, which has no object, in the ways that it is read."""
    yield answer.content
    yield answer.read()
    yield b"".join(answer.iter_bytes(100))


async def aparsed_twice(answer: Any) -> AsyncIterator[Any]:
    for item in parsed_twice(answer):
        yield item


def seen(items: list[Any]) -> list[Any]:
    """Return what a caller can tell of what was read: bytes joined, objects with all that they show."""
    if items and all(isinstance(item, bytes) for item in items):
        return [b"".join(items)]
    return [(type(item), shown(item)) for item in items]


def shown(item: Any) -> Any:
    if not isinstance(item, BaseModel):
        return repr(item)
    return item, dict(item), repr(item), item.model_dump(warnings=False), item.model_dump_json(warnings=False)


def client_for(standin: StandIn) -> OpenAI:
    standin.answers |= ANSWERS
    http = openai.DefaultHttpxClient(verify=False)  # reading certificates takes longer than all the rest
    return openai.OpenAI(base_url=standin.url, api_key="k", max_retries=0, http_client=http)


def async_client_for(standin: StandIn) -> AsyncOpenAI:
    standin.answers |= ANSWERS
    http = openai.DefaultAsyncHttpxClient(verify=False)
    return openai.AsyncOpenAI(base_url=standin.url, api_key="k", max_retries=0, http_client=http)


BARE = openai.OpenAI(api_key="k", http_client=openai.DefaultHttpxClient(verify=False))


def lacks(form: Form, ask: dict[str, Any]) -> str | None:
    """Return what a form needs that the installed version of the SDK does not have."""
    call: Any = form.opens
    try:
        known = inspect.signature(getattr(attrgetter(call.resource)(BARE), call.method)).parameters
    except AttributeError:
        return f"openai {openai.__version__} has no {call.resource}.{call.method}"
    unknown = ", ".join(sorted({**ask, **call.more}.keys() - known.keys()))
    return f"openai {openai.__version__}: {call.resource}.{call.method} has no {unknown}" if unknown else None


def unreachable(client: Any) -> Any:
    return client.with_options(base_url="http://127.0.0.1:9/v1")


def sdk(
    name: str, forms: tuple[Form, ...], ask: dict[str, Any], units: dict[str, tuple[int, int]], cost: float, **more: Any
) -> Sdk:
    return Sdk(
        name=f"openai {name}",
        forms=forms,
        client=client_for,
        async_client=async_client_for,
        unreachable=unreachable,
        ask={**ask, "extra_headers": HEADERS},
        lacks=lacks,
        units=units,
        cost=cost,
        seen=seen,
        **{"text": "The answer is four.", **more},
    )


TEXT = {"text": (1200, 400)}
SUM = '{"number": 4}'
ASKED = "What is two and two?"
OPENAI = (
    sdk(
        "chat",
        (
            *CHAT.whole(),
            Form("parse", CHAT.call("parse", response_format=Sum), once, aonce),
            *CHAT.streams(),
            Form("stream helper", CHAT.call("stream", response_format=Sum), iterate, aiterate, in_pieces=True),
        ),
        {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": ASKED}],
            "stream_options": {"include_obfuscation": False},
        },
        TEXT,
        0.007,
        text=SUM,
        id_begins="chatcmpl-",
    ),
    sdk(
        "responses",
        (
            *RESPONSES.whole(),
            Form("parse", RESPONSES.call("parse", text_format=Sum), once, aonce),
            *RESPONSES.streams(),
            Form("stream helper", RESPONSES.call("stream", text_format=Sum), iterate, aiterate, in_pieces=True),
        ),
        {"model": "gpt-4o", "input": ASKED, "instructions": "Be brief."},
        TEXT,
        0.007,
        text=SUM,
        id_begins="resp_",
    ),
    sdk(
        "compaction",
        RESPONSES.whole("compact"),
        {"model": "gpt-4o", "input": ASKED, "instructions": "Be brief."},
        TEXT,
        0.007,
        id_begins="resp_",
    ),
    sdk(
        "decisions",
        DECISIONS.whole(),
        {
            "model": "gpt-6-luna",
            "input": ASKED,
            "questions": [{"type": "predicate", "name": "spam", "question": "Spam?"}],
        },
        TEXT,
        0.00012,
    ),
    sdk(
        "completions",
        (*COMPLETIONS.whole(), *COMPLETIONS.streams()),
        {"model": "gpt-3.5-turbo-instruct", "prompt": [ASKED]},
        TEXT,
        0.0026,
        id_begins="cmpl-",
    ),
    sdk(
        "embeddings",
        (*EMBEDDINGS.whole(), *EMBEDDINGS.whole(name="float", encoding_format="float")),
        {"model": "text-embedding-3-large", "input": ["two", "and two"]},
        {"text": (1200, 0)},
        0.000156,
    ),
    sdk(
        "images",
        (*IMAGES.whole("generate"), *IMAGES.streams("generate")),
        {"model": "gpt-image-1", "prompt": "Four apples"},
        {"text": (1000, 0), "vision": (200, 0), "image": (0, 400)},
        0.023,
    ),
    sdk(
        "image edits",
        (*IMAGES.whole("edit"), *IMAGES.streams("edit")),
        {"model": "gpt-image-1", "prompt": "Five apples", "image": PICTURE},
        {"text": (1000, 0), "vision": (200, 0), "image": (0, 400)},
        0.023,
    ),
    sdk(
        "transcriptions",
        (*TRANSCRIPTIONS.whole(), *TRANSCRIPTIONS.streams()),
        {"model": "gpt-4o-transcribe", "file": WAVE},
        {"audio": (1200, 0), "text": (0, 400)},
        0.0112,
    ),
    sdk(
        "translations",
        TRANSLATIONS.whole(),
        {"model": "gpt-4o-transcribe", "file": WAVE},
        {"audio": (1200, 0), "text": (0, 400)},
        0.0112,
    ),
    sdk(
        "speech",
        (
            Form("plain", SPEECH.call(), parsed_twice, aparsed_twice),
            Form("raw", SPEECH.raw(), read_raw_sound, aread_raw_sound),
            Form(
                "streaming",
                SPEECH.streaming(),
                lambda answer: answer.iter_bytes(100),
                lambda answer: answer.iter_bytes(100),
                read_later=True,
            ),
        ),
        {"model": "tts-1", "voice": "coral", "input": ASKED},
        {"characters": (20, 0)},
        0.0003,
        told_by_request=True,
    ),
)
