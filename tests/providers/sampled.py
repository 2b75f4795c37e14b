"""Read samples in every way that the SDK offers, and compare what was metered and what the caller saw."""

from __future__ import annotations

import json
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx
from openai_answers import ANSWERS, SOUND
from pydantic import BaseModel

from payi_instrument import guard, track_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.openai_standin import StandIn

FOLDER = Path(__file__).parent / "samples"
FILES = {
    "speech.wav": b"RIFF" + bytes(32_000),
    "apple.png": b"\x89PNG" + bytes(100),
    "pear.png": b"\x89PNG" + bytes(200),
    "mask.png": b"\x89PNG" + bytes(50),
}
WHOLE = ("object", "raw", "bytes")
PIECES = ("object", "raw", "bytes", "asked")


def load(name: str) -> dict[str, Any]:
    """Return a file of samples."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def sdk_has(path: str) -> bool:
    """Say whether the installed version of the SDK has a resource or a method, `responses.compact` for one."""
    try:
        attrgetter(path)(openai.OpenAI(api_key="k"))
    except AttributeError:
        return False
    return True


def needs(path: str) -> pytest.MarkDecorator:
    """Skip where the installed version of the SDK lacks a resource or a method."""
    return pytest.mark.skipif(not sdk_has(path), reason=f"this SDK has no {path}")


def samples(kind: str, *names: str) -> pytest.MarkDecorator:
    """Run a test over the samples of a kind, each knowing what is asked for it."""
    found = []
    for name in names:
        file = load(f"openai/{name}")
        for sample in file[kind]:
            method = sample.get("method", file["method"])
            ask = {**(file["speech"] if "speech" in method else file["ask"]), **sample.get("ask", {})}
            ask = {member: value for member, value in ask.items() if value is not None}
            whole = {**sample, "method": method, "ask": ask}
            row = f"{sample['row']} " if "row" in sample else ""
            found.append(pytest.param(whole, id=f"{row}{name}: {sample['name']}", marks=needs(method)))
    return pytest.mark.parametrize("sample", found)


class Redirect(httpx.HTTPTransport):
    """Send what is meant for any host to the stand-in."""

    def __init__(self, standin: StandIn) -> None:
        super().__init__(verify=False)
        self._url = httpx.URL(standin.url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return super().handle_request(request)


def client_at(standin: StandIn, url: str | None = None) -> openai.OpenAI:
    """Return a client whose base URL is a host's, and whose calls the stand-in answers."""
    standin.answers |= ANSWERS
    http = httpx.Client(transport=Redirect(standin))
    return openai.OpenAI(base_url=url or standin.url, api_key="k", max_retries=0, http_client=http)


class Reading:
    """Make a sample's call in one way, as often as need be."""

    def __init__(self, client: openai.OpenAI, sample: dict[str, Any]) -> None:
        self._client = client
        self._sample = sample

    def whole(self, way: str) -> object:
        """Return what a caller sees of the answer."""
        return self._quietly(self._whole, way)

    def pieces(self, way: str) -> object:
        """Return what a caller sees of the stream."""
        return self._quietly(self._pieces, way)

    def _quietly(self, read: Callable[[str], object], way: str) -> object:
        guard.raise_errors(not self._sample.get("unreadable", False))
        with track_context(log_prompt_and_response=way != "raw"):
            return read(way)

    def _open(self, way: str, **more: Any) -> Any:
        resource, method = self._sample["method"].rsplit(".", 1)
        holder = attrgetter(resource)(self._client)
        if way in {"raw", "bytes"}:
            holder = holder.with_raw_response if way == "raw" else holder.with_streaming_response
        ask = {name: _sent(value) for name, value in self._sample["ask"].items()}
        return getattr(holder, method)(**ask, **more)

    def _whole(self, way: str) -> object:
        if way == "bytes":
            with self._open(way) as response:
                return b"".join(response.iter_bytes(100))
        answer = self._open(way)
        if way == "raw":
            answer.parse()
            return answer.content
        return shown(answer)

    def _pieces(self, way: str) -> object:
        if way == "bytes":
            with self._open(way, stream=True) as response:
                return b"".join(response.iter_bytes(100))
        more = {"stream_options": {"include_usage": True}} if way == "asked" else {}
        seen: list[Any] = []
        stream = self._open(way, stream=True, **more)
        try:
            seen.extend(shown(chunk) for chunk in (stream.parse() if way == "raw" else stream))
        except openai.APIError as error:
            seen.append(type(error).__name__)
        return seen


def shown(answer: Any) -> object:
    """Return what an answer of the SDK shows."""
    if isinstance(answer, BaseModel):
        return answer.to_dict(mode="json", warnings=False)  # type: ignore[attr-defined]  # the SDK's own models have it
    return answer.content if hasattr(answer, "content") else answer


def _sent(value: Any) -> Any:
    """Return an argument, the name of a file as the file."""
    if isinstance(value, list):
        return [_sent(item) for item in value]
    return (value, BytesIO(FILES[value])) if isinstance(value, str) and value in FILES else value


def body_of(sample: dict[str, Any]) -> Any:
    """Return a sample's answer as the stand-in is to send it: an object, text, or the bytes of a sound."""
    if "sound" in sample:
        return SOUND if sample["sound"] == "mp3" else sample["body"].encode()
    return sample["body"]


def bytes_of(body: Any) -> bytes:
    """Return the bytes that the stand-in sends for a body."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def lines_of(chunks: list[Any]) -> list[str]:
    """Return the events of a stream as they are sent."""
    return [chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}" for chunk in chunks]


def said_by(line: str) -> Any:
    """Return the chunk that an event of a stream holds, None for a comment."""
    return json.loads(line.partition("data:")[2]) if "data:" in line else None
