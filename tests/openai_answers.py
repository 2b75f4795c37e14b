"""What an OpenAI answers on the paths that are not chat: bodies and events as its API sends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.openai_standin import Answer, Reply

MADE = 1_741_476_542
SOUND = b"ID3\x04\x00\x00" + bytes(range(256)) * 8
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"


def _id(prefix: str, body: dict[str, Any]) -> str:
    digest = crc32(json.dumps([body.get("model"), body.get("input")]).encode())
    return f"{prefix}{digest:08x}"


def _counts(reply: Reply) -> tuple[int, int]:
    usage = reply.usage or {}
    return usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)


def _usage(reply: Reply) -> dict[str, Any] | None:
    """Return a usage as all but chat completions name it."""
    if reply.usage is None or "input_tokens" in reply.usage:
        return dict(reply.usage) if reply.usage else None
    counted_in, counted_out = _counts(reply)
    return {
        "input_tokens": counted_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": counted_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted_in + counted_out,
    }


def _message(text: str, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    return {"id": "msg_67cc", "type": "message", "status": status, "role": "assistant", "content": content}


def response(reply: Reply, body: dict[str, Any], *, status: str = "completed") -> dict[str, Any]:
    finished = status == "completed"
    return {
        "id": _id("resp_", body),
        "object": "response",
        "created_at": MADE,
        "status": status,
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": f"{body.get('model')}-2024-08-06",
        "output": [_message(reply.text)] if finished else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default" if finished else "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(reply) if finished else None,
        "user": None,
        "metadata": {},
    }


def _response_events(reply: Reply, body: dict[str, Any]) -> Iterator[str]:
    part = {"item_id": "msg_67cc", "output_index": 0, "content_index": 0}
    text = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    first, *words = reply.text.split(" ")
    events = [
        {"type": "response.created", "response": response(reply, body, status="in_progress")},
        {"type": "response.in_progress", "response": response(reply, body, status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": _message("", "in_progress")},
        {"type": "response.content_part.added", **part, "part": text},
        *(
            {"type": "response.output_text.delta", **part, "delta": delta, "logprobs": []}
            for delta in [first, *(f" {word}" for word in words)]
        ),
        {"type": "response.output_text.done", **part, "text": reply.text, "logprobs": []},
        {"type": "response.content_part.done", **part, "part": {**text, "text": reply.text}},
        {"type": "response.output_item.done", "output_index": 0, "item": _message(reply.text)},
        {"type": "response.completed", "response": response(reply, body)},
    ]
    for number, event in enumerate(events):
        yield sse({**event, "sequence_number": number})


def sse(event: dict[str, Any]) -> str:
    """Return an event as a stream of typed events sends it."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}"


def _responses(reply: Reply, body: dict[str, Any]) -> Any:
    return _response_events(reply, body) if body.get("stream") else response(reply, body)


def _compact(reply: Reply, body: dict[str, Any]) -> Any:
    item = {"id": "cmp_001", "type": "compaction", "encrypted_content": "gAAAAABpM0Yj"}
    return {
        "id": _id("resp_", body),
        "object": "response.compaction",
        "created_at": MADE,
        "output": [item],
        "usage": _usage(reply),
    }


def _completions(reply: Reply, body: dict[str, Any]) -> Any:
    head = {"id": _id("cmpl-", body), "object": "text_completion", "created": MADE, "model": body.get("model")}
    usage = {} if reply.usage is None else {"usage": reply.usage}
    if not body.get("stream"):
        choice = {"text": reply.text, "index": 0, "logprobs": None, "finish_reason": "stop"}
        return {**head, "choices": [choice], **usage}
    asked = (body.get("stream_options") or {}).get("include_usage")
    first, *words = reply.text.split(" ")
    texts = [first, *(f" {word}" for word in words), ""]
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": None if text else "stop"}]}
        for text in texts
    ]
    return [*chunks, {**head, "choices": [], **usage}] if asked and usage else chunks


def _embeddings(reply: Reply, body: dict[str, Any]) -> Any:
    vector = "AACAPwAAAEAAAEBA" if body.get("encoding_format") == "base64" else [1.0, 2.0, 3.0]
    given = body.get("input")
    items = [
        {"object": "embedding", "index": at, "embedding": vector} for at in range(1 if isinstance(given, str) else 2)
    ]
    counted = {"prompt_tokens": 1200, "total_tokens": 1200}
    usage = {} if reply.usage is None else {"usage": counted}
    return {"object": "list", "data": items, "model": body.get("model"), **usage}


def _image_usage(reply: Reply) -> dict[str, Any] | None:
    if reply.usage is None:
        return None
    counted_in, counted_out = _counts(reply)
    return {
        "total_tokens": counted_in + counted_out,
        "input_tokens": counted_in,
        "output_tokens": counted_out,
        "input_tokens_details": {"text_tokens": counted_in - 200, "image_tokens": 200},
    }


def _images(reply: Reply, body: dict[str, Any]) -> Any:
    usage = _image_usage(reply)
    if not body.get("stream"):
        return {"created": MADE, "data": [{"b64_json": PNG}], **({"usage": usage} if usage else {})}
    of = {"background": "opaque", "created_at": MADE, "output_format": "png", "quality": "high", "size": "1024x1024"}
    kind = "image_edit" if "image" in body or "image[]" in body else "image_generation"
    return [
        *(sse({"type": f"{kind}.partial_image", "b64_json": PNG, "partial_image_index": at, **of}) for at in range(4)),
        sse({"type": f"{kind}.completed", "b64_json": PNG, **of, **({"usage": usage} if usage else {})}),
    ]


def _transcriptions(reply: Reply, body: dict[str, Any]) -> Any:
    counted_in, counted_out = _counts(reply)
    usage = {
        "type": "tokens",
        "total_tokens": counted_in + counted_out,
        "input_tokens": counted_in,
        "input_token_details": {"text_tokens": 0, "audio_tokens": counted_in},
        "output_tokens": counted_out,
    }
    given = {} if reply.usage is None else {"usage": usage}
    if body.get("response_format") in {"text", "srt", "vtt"}:
        return reply.text
    if not body.get("stream"):
        return {"text": reply.text, **given}
    first, *words = reply.text.split(" ")
    deltas = [first, *(f" {word}" for word in words)]
    return [
        *(sse({"type": "transcript.text.delta", "delta": delta}) for delta in deltas),
        sse({"type": "transcript.text.done", "text": reply.text, **given}),
    ]


def _speech(reply: Reply, body: dict[str, Any]) -> Any:
    if body.get("stream_format") != "sse":
        return SOUND
    counted_in, counted_out = _counts(reply)
    usage = {"input_tokens": counted_in, "output_tokens": counted_out, "total_tokens": counted_in + counted_out}
    events = [{"type": "speech.audio.delta", "audio": "SUQzBAAA"}, {"type": "speech.audio.done", "usage": usage}]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def _decisions(reply: Reply, body: dict[str, Any]) -> Any:
    answer = {"type": "predicate", "name": "spam", "probability": 0.03}
    return {"answers": [answer], "model": body.get("model"), "usage": _usage(reply)}


ANSWERS: dict[str, Answer] = {
    "/responses": _responses,
    "/responses/compact": _compact,
    "/completions": _completions,
    "/embeddings": _embeddings,
    "/images/generations": _images,
    "/images/edits": _images,
    "/images/variations": _images,
    "/audio/transcriptions": _transcriptions,
    "/audio/translations": _transcriptions,
    "/audio/speech": _speech,
    "/decisions": _decisions,
}
