"""What a client was made with, settled once: arguments over environment over defaults. Source: client.md section 1."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from payi_instrument.client import log
from payi_instrument.client.arguments import (
    DEFAULT_TIMEOUT,
    UNSET,
    Phases,
    Timeout,
    Unset,
    headers_of,
    mapping,
    merged_headers,
    phases,
)
from payi_instrument.client.encoding import check_plain, laid_over
from payi_instrument.config import is_embedded, meter_settings
from payi_instrument.errors import PayiError
from payi_instrument.wire.headers import PayiHeaderNames

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

DEFAULT_MAX_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold how a client speaks to its meter; `timeout` is as the caller gave it, `phases` what it means in seconds."""

    base_url: str
    api_key: str | None = None
    timeout: float | Timeout | None = 60.0
    phases: Phases = DEFAULT_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, object] = field(default_factory=dict[str, object])
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse headers and a key that can't be sent; an embedded meter is sent no key."""
        laid_over(self.headers)
        if self.api_key is not None and not self.is_embedded:
            if not isinstance(cast("object", self.api_key), str):  # callers without a checker
                msg = f"api_key: it is a {type(self.api_key).__name__}, expected str"
                raise TypeError(msg)
            check_plain(f"api_key ({PayiHeaderNames.api_key})", self.api_key)

    @classmethod
    def settle(
        cls,
        *,
        api_key: str | None,
        base_url: str | None,
        timeout: float | Timeout | Unset | None,
        max_retries: int,
        default_headers: Mapping[str, str] | None,
        default_query: Mapping[str, object] | None,
        strict: bool,
    ) -> Self:
        """Read the environment for what was not given.

        Raises `PayiError` when no meter is named, `TypeError` or `ValueError` naming what can't be used.
        """
        found = meter_settings(api_key, None if base_url is None else str(base_url))
        if found is None:
            msg = (
                "no meter: set PAYI_API_KEY (or api_key=) for a Pay-i service,"
                " or PAYI_BASE_URL=sqlite:///payi.db (or base_url=) for an embedded one"
            )
            raise PayiError(msg)
        log.show(found.log_level)
        return cls(found.base_url, found.api_key, strict=strict).changed(
            timeout=timeout,
            max_retries=max_retries,
            headers=merged_headers(found.headers, headers_of("default_headers", default_headers)),
            query=dict(mapping("default_query", default_query)),
        )

    def changed(
        self, *, timeout: float | Timeout | Unset | None = UNSET, max_retries: int | Unset = UNSET, **changes: Any
    ) -> Self:
        """Return these settings with others in their place; raises `TypeError` or `ValueError` naming a bad one."""
        if timeout is not UNSET:
            changes |= {"timeout": timeout, "phases": phases(timeout)}
        if max_retries is not UNSET:
            changes["max_retries"] = count_of(max_retries)
        return replace(self, **changes)

    @property
    def is_embedded(self) -> bool:
        """Say whether the meter is in this process."""
        return is_embedded(self.base_url)

    @property
    def shown_url(self) -> str:
        """Return the URL as `base_url` shows it: a remote one with a slash at its end, as the official SDK's."""
        return self.base_url if self.is_embedded else self.base_url.rstrip("/") + "/"


def count_of(max_retries: object) -> int:
    """Return how often to send again; raises `TypeError` or `ValueError` for what is no number of times."""
    if not isinstance(max_retries, int) or isinstance(max_retries, bool):
        msg = f"max_retries: {max_retries!r} is a {type(max_retries).__name__}, expected an int of 0 or more"
        raise TypeError(msg)
    if max_retries < 0:
        msg = f"max_retries: {max_retries!r} is negative, expected an int of 0 or more"
        raise ValueError(msg)
    return max_retries
