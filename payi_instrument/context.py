"""Say for whom and for what the calls of a block are made, and read what is in effect.

:class:`track_context` opens a scope for a `with` or `async with` block; :func:`get_context` reads the values in effect;
:func:`carry` hands a scope to another thread; :func:`create_headers` and :func:`override` are the per-call form.
Source: instrumentation-semantics sections 3, 4 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from payi_instrument import scope as _scope
from payi_instrument.declared import declared
from payi_instrument.scope import Block, Scope, Values, merge
from payi_instrument.wire.headers import PREFIX, PayiHeaderNames

if TYPE_CHECKING:
    from types import TracebackType

    from payi_instrument.declared import LimitIds
    from payi_instrument.event import Attribution, Result

P = ParamSpec("P")
ScopeT = TypeVar("ScopeT", bound=Scope)
_new = object.__new__
R = TypeVar("R")


class Opener:
    """Open scopes with the same declared values: what `track` and `track_context` share.

    The merge with the surrounding values is kept for as long as those stay the same object, which they do inside one
    decorated function or block.
    """

    __slots__ = ("_declared", "_kept")

    def __init__(self, values: Values) -> None:
        """Take the checked values of :func:`~payi_instrument.scope.declared`."""
        self._declared = values
        self._kept = self._merge(None)

    def open(self, kind: type[ScopeT]) -> ScopeT:
        """Return a new scope inside the current one; the caller enters it."""
        parent = _scope.current()
        under, values, mints = self._kept  # read at once: other threads may put another merge there meanwhile
        around = parent.values if parent is not None else None
        if around is not under:
            self._kept = (_, values, mints) = self._merge(around)
        scope = _new(kind)  # a call of the class would cost as much as all the rest
        scope.values = values
        scope.mints = mints
        if parent is None:
            scope.minter = scope.block = None
        else:
            scope.minter = parent if parent.mints else parent.minter
            block = cast("Block", parent) if parent.is_block else parent.block
            scope.block = block if block is None or not block.left else _scope.still_open(block)
        return scope

    def _merge(self, under: Values | None) -> tuple[Values | None, Values, bool]:
        merged = self._declared if under is None else merge(under, self._declared)
        return under, merged, self._begins(under)

    def _begins(self, under: Values | None) -> bool:
        """Say whether a scope under these values begins an instance of a use case of its own."""
        use_case = self._declared.use_case
        if use_case is None or not use_case.name or use_case.id is not None:
            return False
        return under is None or under.use_case is None or under.use_case.name != use_case.name


class track_context:  # noqa: N801  # the published name
    """Run a block in a scope: every call inside is attributed to these values.

    Use it with `with` or `async with`; it may be entered again, also nested and from several tasks. None inherits, an
    empty value clears (section 4.1). Raises `TypeError` naming an argument of the wrong type. The block's variable is
    the :class:`~payi_instrument.scope.Block`: the values in effect and `last_result`.
    """

    __slots__ = ("_opener",)

    def __init__(  # the parameters of section 4.1
        self,
        *,
        limit_ids: LimitIds | None = None,
        use_case_name: str | None = None,
        use_case_id: str | None = None,
        use_case_version: int | None = None,
        use_case_step: str | None = None,
        use_case_properties: Mapping[str, object] | None = None,
        user_id: str | None = None,
        account_name: str | None = None,
        request_properties: Mapping[str, object] | None = None,
        price_as_category: str | None = None,
        price_as_resource: str | None = None,
        resource_scope: str | None = None,
        log_prompt_and_response: bool | None = None,
        proxy: bool | None = None,
    ) -> None:
        """Declare the values; nothing is in effect before the block is entered."""
        self._opener = Opener(
            declared(
                limit_ids=limit_ids,
                use_case_name=use_case_name,
                use_case_id=use_case_id,
                use_case_version=use_case_version,
                use_case_step=use_case_step,
                use_case_properties=use_case_properties,
                user_id=user_id,
                account_name=account_name,
                request_properties=request_properties,
                price_as_category=price_as_category,
                price_as_resource=price_as_resource,
                resource_scope=resource_scope,
                log_prompt_and_response=log_prompt_and_response,
                proxy=proxy,
            )
        )

    def __enter__(self) -> Block:
        """Enter a new scope and return it."""
        scope = self._opener.open(Block)
        _scope.enter_block(scope, self)
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore what was in effect when this block was entered; an exception passes unchanged."""
        _scope.leave_block(self)

    async def __aenter__(self) -> Block:
        """Enter a new scope and return it."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore what was in effect when this block was entered."""
        self.__exit__(kind, error, trace)


def get_context() -> dict[str, object]:
    """Return the values in effect here, None and empty ones left out, and `last_result`; empty where nothing is.

    The mapping is the caller's own: changing it changes nothing else. Source: section 4.5.
    """
    if not _scope.has_scope():
        return {}
    effective = _scope.attribution(_scope.current())
    values: dict[str, object] = {}
    for name in effective.__slots__:
        value: Any = getattr(effective, name)
        if value is not None and value not in ((), {}):
            values[name] = _copy(value)
    result = _scope.last_result()
    if result is not None:
        values["last_result"] = result
    return values


def _copy(value: tuple[str, ...] | Mapping[str, object] | str | int) -> object:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Bind the current scope, only ours, to one work item of another thread; it is gone again after the item.

    Without a scope the item runs without one, whatever ran on that thread before. Source: section 3, threads.
    """
    scope = _scope.current()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _scope.enter(scope)
        _scope.forget_result()
        try:
            return function(*args, **kwargs)
        finally:
            _scope.leave(token)
            _scope.forget_result()

    return run


def create_headers(  # the parameters of section 10
    *,
    limit_ids: list[str] | None = None,
    user_id: str | None = None,
    account_name: str | None = None,
    use_case_id: str | None = None,
    use_case_name: str | None = None,
    use_case_version: int | None = None,
    use_case_step: str | None = None,
    use_case_properties: Mapping[str, str | None] | None = None,
    request_properties: Mapping[str, str | None] | None = None,
    price_as_category: str | None = None,
    price_as_resource: str | None = None,
    resource_scope: str | None = None,
    log_prompt_and_response: bool | None = None,
) -> dict[str, str]:
    """Build the `extra_headers` that override the scope for one call; only the given ones are in the answer.

    Properties travel as compact JSON. Raises `TypeError` when `limit_ids` is not a list, or naming a text that is none.
    Source: instrumentation-semantics section 10.
    """
    import json

    headers = create_limit_header_from_ids(limit_ids=limit_ids) if limit_ids is not None else {}
    texts = {
        PayiHeaderNames.user_id: user_id,
        PayiHeaderNames.account_name: account_name,
        PayiHeaderNames.use_case_id: use_case_id,
        PayiHeaderNames.use_case_name: use_case_name,
        PayiHeaderNames.use_case_version: None if use_case_version is None else str(use_case_version),
        PayiHeaderNames.use_case_step: use_case_step,
        PayiHeaderNames.price_as_category: price_as_category,
        PayiHeaderNames.price_as_resource: price_as_resource,
        PayiHeaderNames.resource_scope: resource_scope,
    }
    for name, text in texts.items():
        if text is not None and not isinstance(cast("object", text), str):  # callers without a checker
            msg = f"{name}: {text!r} is a {type(text).__name__}, expected str or None"
            raise TypeError(msg)
    headers |= {name: text for name, text in texts.items() if text is not None}
    for name, properties in (
        (PayiHeaderNames.use_case_properties, use_case_properties),
        (PayiHeaderNames.request_properties, request_properties),
    ):
        if properties is not None:
            headers[name] = json.dumps(dict(properties), separators=(",", ":"))
    if log_prompt_and_response is False:
        headers[PayiHeaderNames.logging_disable] = "True"
    return headers


def create_limit_header_from_ids(*, limit_ids: list[str]) -> dict[str, str]:
    """Build the limit header, or {} when no usable id is given; blanks, repeats and non-strings are dropped.

    Raises `TypeError` when `limit_ids` is not a list. Source: instrumentation-semantics section 10.
    """
    if not isinstance(cast("object", limit_ids), list):
        msg = f"limit_ids: {limit_ids!r} is a {type(limit_ids).__name__}, expected a list of str"
        raise TypeError(msg)
    given = cast("list[object]", limit_ids)
    ids = [limit_id.strip() for limit_id in given if isinstance(limit_id, str) and limit_id.strip()]
    return {PayiHeaderNames.limit_ids: ",".join(dict.fromkeys(ids))} if ids else {}


def override(effective: Attribution, headers: Mapping[str, str]) -> Attribution:
    """Let the `xProxy-…` headers of one call replace the values in effect; names compare without case.

    A header replaces, it does not merge; an empty one means no value for this call. With a use-case name in the headers
    only the headers' own id, version and step count. Source: section 4.3.
    """
    found = {name.lower(): value for name, value in headers.items() if name.lower().startswith(PREFIX)}
    if not found:
        return effective
    from dataclasses import replace

    changes: dict[str, Any] = {
        field: found[name.lower()] or None for name, field in _TEXT_HEADERS.items() if name.lower() in found
    }
    for name, field in _PROPERTY_HEADERS.items():
        if (text := found.get(name.lower())) is not None:
            changes[field] = _read_properties(text)
    if (ids := found.get(PayiHeaderNames.limit_ids.lower())) is not None:
        changes["limit_ids"] = tuple(dict.fromkeys(part.strip() for part in ids.split(",") if part.strip()))
    if (version := found.get(PayiHeaderNames.use_case_version.lower())) is not None:
        changes["use_case_version"] = int(version) if version.isdecimal() else None
    if (disabled := found.get(PayiHeaderNames.logging_disable.lower())) is not None:
        changes["log_prompt_and_response"] = _DISABLES.get(disabled.lower(), False)
    return replace(effective, **_with_use_case(effective, changes))


def _with_use_case(effective: Attribution, changes: dict[str, Any]) -> dict[str, Any]:
    """Leave no member of one use case under the name of another, nor under none."""
    name = changes.get("use_case_name", effective.use_case_name)
    if name is None:
        return {**changes, **_NO_USE_CASE}
    if "use_case_name" not in changes:
        return changes
    kept = {"use_case_properties": effective.use_case_properties} if name == effective.use_case_name else {}
    return {**_NO_USE_CASE, **kept, **changes}


_NO_USE_CASE: Mapping[str, object] = {
    "use_case_id": None,
    "use_case_version": None,
    "use_case_step": None,
    "use_case_properties": {},
}
_DISABLES: Mapping[str, bool | None] = {"true": False, "false": True, "": None}
"""What a logging header says about logging; anything else disables it, which is the safe side."""
_TEXT_HEADERS: Mapping[str, str] = {
    PayiHeaderNames.user_id: "user_id",
    PayiHeaderNames.account_name: "account_name",
    PayiHeaderNames.use_case_id: "use_case_id",
    PayiHeaderNames.use_case_name: "use_case_name",
    PayiHeaderNames.use_case_step: "use_case_step",
    PayiHeaderNames.price_as_category: "price_as_category",
    PayiHeaderNames.price_as_resource: "price_as_resource",
    PayiHeaderNames.resource_scope: "resource_scope",
}
_PROPERTY_HEADERS: Mapping[str, str] = {
    PayiHeaderNames.request_properties: "request_properties",
    PayiHeaderNames.use_case_properties: "use_case_properties",
}


def _read_properties(text: str) -> Mapping[str, str | None]:
    """Read a properties header; one that is not a JSON object counts as empty, since no header may break a call."""
    import json

    try:
        value: object = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    pairs = cast("dict[object, object]", value)
    return {str(key): item if isinstance(item, str) else str(item) for key, item in pairs.items() if item is not None}


def last_result() -> Result | None:
    """Return the result of the last call of this task or thread."""
    return _scope.last_result()
