"""Estimate tokens where a provider reported none. An estimate is always marked as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BYTES_PER_TOKEN = 4
"""Byte-pair vocabularies of today hold about four UTF-8 bytes a token over prose, code and most scripts."""
TOKENS_PER_MESSAGE = 4
"""What the chat format adds round each message."""


def estimate_tokens(texts: Iterable[str]) -> int:
    """Return about how many tokens these texts are, 0 for no text."""
    size = sum(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return -(-size // _BYTES_PER_TOKEN)
