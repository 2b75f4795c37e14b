"""An OpenAI on this machine: answers over real HTTP, plain and streamed, for the quickstart and the tests.

    with StandIn() as standin:
        client = OpenAI(base_url=standin.url, api_key="any")

A model answers as `standin.replies[model]` says, any other as `standin.reply`; what arrived is in `standin.requests`.
`standin.answers` says what each path answers, to be added to.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Answer = Callable[["Reply", dict[str, Any]], Any]
    """Makes an answer of a reply and a request: an object, text, sound (bytes), or the chunks of a stream."""

OK = 200
_NOTHING = 204
_PATIENCE_S = 30


@dataclass
class Reply:
    """How the stand-in answers: a completion made of text, tool calls and usage, or a recorded body, or trouble."""

    text: str = "The answer is four."
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    usage: Mapping[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 1200, "completion_tokens": 400, "total_tokens": 1600}
    )
    nulls: bool = True
    """Whether the chunks before a usage that was asked for say `"usage": null`, as OpenAI's do."""
    body: Any = None
    """An answer as it was recorded; a list is the chunks of a stream, a text in it is sent as a line of its own."""
    kind: str = ""
    """The content type of an answer that is a text or bytes, where it is not the usual one."""
    pause: float = 0.0
    """Seconds before every chunk."""
    status: int = OK
    """400 or above: the answer is an error that says `error`; 204: there is none."""
    error: str = "The stand-in was told to fail."
    refuses_usage: int = 0
    """The status for those who ask for a stream's usage, 0 to let them."""
    then: Literal["finish", "drop", "error", "stall"] = "finish"
    """What happens after so many chunks (`after`; 0: before anything is sent)."""
    after: int = 0


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names are in lower case, a form's body is its fields."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    method: str = "POST"


class StandIn:
    """Serve on a free port until the block is left."""

    def __init__(self) -> None:
        """Open the port; calls are answered inside the block."""
        self.reset()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"standin": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def reset(self) -> None:
        """Answer as at first, and forget what arrived."""
        self.answers: dict[str, Answer] = {"/chat/completions": _chat}
        self.reply = Reply()
        self.replies: dict[str, Reply] = {}
        self.requests: list[Received] = []
        self.stalled = threading.Event()
        """Set when a call stalls."""
        self.released = threading.Event()
        """Set it to let calls that stall go on."""

    def stall(self) -> bool:
        """Let a call wait until it is released; False when nobody did."""
        self.stalled.set()
        return self.released.wait(_PATIENCE_S)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Close the port."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    standin: StandIn

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # the caller left in the middle
            self.close_connection = True

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not content:
            self._answer("POST", {})
        elif "json" in self.headers["content-type"]:
            self._answer("POST", json.loads(content))
        else:
            self._answer("POST", self._fields(content))

    def do_GET(self) -> None:
        self._answer("GET", dict(parse_qsl(urlsplit(self.path).query)))

    def do_DELETE(self) -> None:
        self._answer("DELETE", {})

    def _fields(self, content: bytes) -> dict[str, Any]:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parts = message_from_bytes(head + content).walk()
        named = [(part.get_param("name", header="content-disposition"), part.get_payload()) for part in parts]
        return {str(name): _value(str(payload)) for name, payload in named if name}

    def _answer(self, method: str, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.standin.requests.append(Received(self.path, headers, body, method))
        reply = self.standin.replies.get(str(body.get("model")), self.standin.reply)
        answer = self._answer_for(urlsplit(self.path).path)
        if answer is None:
            self._send_error(404, f"Unknown path {self.path}", None)
        elif reply.refuses_usage and "stream_options" in body:
            self._send_error(reply.refuses_usage, "Unknown parameter: 'stream_options'.", "stream_options")
        elif reply.status == _NOTHING:
            self._send_head(reply.status, "application/json", ("Content-Length", "0"))
        elif reply.status != OK:
            self._send_error(reply.status, reply.error, None)
        elif body.get("stream"):
            self._send_stream(reply, answer(reply, body) if reply.body is None else reply.body)
        elif reply.then == "finish" or (reply.then == "stall" and self.standin.stall()):
            self._send_whole(answer(reply, body) if reply.body is None else reply.body, reply.kind)
        else:
            self.close_connection = True

    def _answer_for(self, path: str) -> Answer | None:
        """Return what answers the end of a path; hosts put different things before it."""
        return next((answer for end, answer in self.standin.answers.items() if path.endswith(end)), None)

    def _send_whole(self, body: object, kind: str) -> None:
        if isinstance(body, bytes):
            self._send_bytes(
                body, kind or ("text/event-stream" if body.startswith((b"data:", b"event:", b":")) else "audio/mpeg")
            )
        elif isinstance(body, str):
            self._send_bytes(body.encode(), kind or "text/plain")
        else:
            self._send_json(OK, body)

    def _send_bytes(self, data: bytes, kind: str) -> None:
        self._send_head(OK, kind, ("Content-Length", str(len(data))))
        self.wfile.write(data)

    def _send_json(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self._send_head(status, "application/json", ("Content-Length", str(len(data))))
        self.wfile.write(data)

    def _send_error(self, status: int, message: str, param: str | None) -> None:
        self._send_json(status, {"error": {"message": message, "type": "error", "param": param, "code": None}})

    def _send_stream(self, reply: Reply, chunks: Iterable[dict[str, Any] | str]) -> None:
        self._send_head(OK, "text/event-stream", ("Transfer-Encoding", "chunked"))
        for count, chunk in enumerate(chunks):
            if reply.then != "finish" and count == reply.after and not self._go_on(reply):
                return
            time.sleep(reply.pause)
            self._send_line(chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}")
        self._send_line("data: [DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _go_on(self, reply: Reply) -> bool:
        """Do what the reply says happens here; True when the stream goes on after it."""
        if reply.then == "stall":
            return self.standin.stall()
        if reply.then == "error":
            self._send_line("data: " + json.dumps({"error": {"message": reply.error, "type": "server_error"}}))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True
        return False

    def _send_line(self, line: str) -> None:
        event = f"{line}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _send_head(self, status: int, kind: str, length: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("x-request-id", "req_standin"), length):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _value(text: str) -> Any:
    """Read a field of a form."""
    return {"true": True, "false": False}.get(text, text)


def _chat(reply: Reply, body: dict[str, Any]) -> Any:
    return _chunks(reply, body) if body.get("stream") else _completion(reply, body)


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return what every answer begins with; the same messages get the same id."""
    digest = crc32(json.dumps(body["messages"]).encode())
    model = f"{body['model']}-2024-11-20"
    return {"id": f"chatcmpl-{digest:08x}", "object": kind, "created": 1735689600, "model": model}


def _completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message |= {"content": None, "tool_calls": reply.tool_calls}
    finish = "tool_calls" if reply.tool_calls else "stop"
    choices = [{"index": index, "message": message, "finish_reason": finish} for index in range(body.get("n") or 1)]
    usage = {} if reply.usage is None else {"usage": reply.usage}
    return _head(body, "chat.completion") | {"choices": choices} | usage


def _chunks(reply: Reply, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the chunks: role, text word by word, tool calls, finish, and the usage if it was asked for."""
    asked = bool((body.get("stream_options") or {}).get("include_usage")) and reply.usage is not None
    head = _head(body, "chat.completion.chunk")
    for delta in _deltas(reply):
        finish = ("tool_calls" if reply.tool_calls else "stop") if not delta else None
        for index in range(body.get("n") or 1):
            choices = [{"index": index, "delta": delta, "finish_reason": finish}]
            yield head | {"choices": choices} | ({"usage": None} if asked and reply.nulls else {})
    if asked:
        yield head | {"choices": [], "usage": reply.usage}


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "", "refusal": None}
    for index, call in enumerate(reply.tool_calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        half = len(arguments) // 2
        yield {"tool_calls": [{**call, "index": index, "function": {"name": name, "arguments": arguments[:half]}}]}
        yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]}
    if not reply.tool_calls:
        first, *words = reply.text.split(" ")
        yield from ({"content": text} for text in [first, *(f" {word}" for word in words)])
    yield {}
