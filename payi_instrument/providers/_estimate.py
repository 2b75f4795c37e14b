"""Estimate tokens where a provider reported none. An estimate is always marked as one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = re.compile(
    r"[A-Za-z\u00c0-\u024f]{1,6}"  # most of a Latin word
    r"|\d{1,3}"
    r"|[\u0250-\u1fff]{1,4}"  # half a word of Cyrillic, Arabic, Devanagari, …
    r"|[\u2190-\u2bff\u2e80-\U000fffff]"  # a Chinese, Japanese or Korean character, an emoji
    r"|[^\w\s]{1,2}"
    r"|\n"
)
"""What a byte-pair vocabulary of today makes one token of: within 30 % over prose of many scripts, code, numbers."""
_READ = 65_536
"""So many characters stand for the rest of a text: an estimate must not hold anybody up."""
TOKENS_PER_MESSAGE = 4
"""What the chat format adds round each message."""
TOKENS_PER_IMAGE = 765
"""What a provider takes for a high-detail image of common size."""


def estimate_tokens(texts: Iterable[str]) -> int:
    """Return about how many tokens these texts are, 0 for no text."""
    return sum(len(_TOKEN.findall(text, 0, _READ)) * max(len(text), _READ) // _READ for text in texts)


def estimate_given(given: Any) -> int:
    """Return about how many tokens a request, or a part of it, is: its texts; a number in a list is a token."""
    if isinstance(given, str):
        return estimate_tokens([given])
    if isinstance(given, dict):
        parts = cast("dict[str, Any]", given).values()
        return sum(estimate_given(part) for part in parts if not isinstance(part, int))
    if isinstance(given, (list, tuple)):
        return sum(1 if isinstance(part, int) else estimate_given(part) for part in cast("list[Any]", given))
    return 0
