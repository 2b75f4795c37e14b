"""A scope: what one decorator or context block declares, merged with what stands around it.

Declared values say three things: None says nothing (inherit), an empty value cuts (nothing from here down), anything
else overrides or adds. The merge is associative in that sense, so the process-wide global values are merged when a
call reads them and never copied into a scope (instrumentation-semantics sections 3 and 4).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from payi_instrument.guard import logger

if TYPE_CHECKING:
    from contextvars import Token

    from payi_instrument.event import Attribution, Result

Properties = Mapping[str, "str | None"]


@dataclass(slots=True, eq=False)
class UseCase:
    """Hold what is declared of a use case; a `name` of "" cuts, an `id` of "" means the name without an id.

    `settled` says that it began inside another one, so that what stands further out does not count. `before` is what
    was declared outside the scope that named it, which counts only where that name is in effect further out.
    """

    name: str | None = None
    id: str | None = None
    version: int | None = None
    step: str | None = None
    properties: Properties | None = None
    settled: bool = False
    before: UseCase | None = None


@dataclass(slots=True, eq=False)
class Values:
    """Hold the declared values of a scope and of those around it. Shared between entries, so never changed."""

    limit_ids: tuple[str, ...] | None = None
    cuts_limits: bool = False
    use_case: UseCase | None = None
    user_id: str | None = None
    account_name: str | None = None
    request_properties: Properties | None = None
    price_as_category: str | None = None
    price_as_resource: str | None = None
    resource_scope: str | None = None
    log_prompt_and_response: bool | None = None
    resolved: tuple[Values | None, Attribution] | None = field(default=None, repr=False)
    """The attribution these values came to, with the global values it was made under."""


NOTHING = Values()


def merge(parent: Values, child: Values) -> Values:
    """Merge declared values, the child's over the parent's (section 4.2)."""
    return Values(
        limit_ids=_merge_limits(parent, child),
        cuts_limits=parent.cuts_limits or child.cuts_limits,
        use_case=_merge_use_case(parent.use_case, child.use_case),
        user_id=_nearest(child.user_id, parent.user_id),
        account_name=_nearest(child.account_name, parent.account_name),
        request_properties=merge_properties(parent.request_properties, child.request_properties),
        price_as_category=_nearest(child.price_as_category, parent.price_as_category),
        price_as_resource=_nearest(child.price_as_resource, parent.price_as_resource),
        resource_scope=_nearest(child.resource_scope, parent.resource_scope),
        log_prompt_and_response=(
            parent.log_prompt_and_response if child.log_prompt_and_response is None else child.log_prompt_and_response
        ),
    )


def _nearest(child: str | None, parent: str | None) -> str | None:
    return parent if child is None else child


def _merge_limits(parent: Values, child: Values) -> tuple[str, ...] | None:
    """Unite parent and child, the parent's first; after a cut a list starts from nothing."""
    if child.limit_ids is None:
        return parent.limit_ids
    if parent.limit_ids is None or child.cuts_limits:
        return child.limit_ids
    return tuple(dict.fromkeys(parent.limit_ids + child.limit_ids))


def merge_properties(parent: Properties | None, child: Properties | None) -> Properties | None:
    """Merge key by key, the child's winning; its None marks a key as removed, an empty child cuts."""
    if child is None:
        return parent
    if parent is None or isinstance(child, Cut):
        return child
    merged = {**parent, **child}
    return Cut(merged) if isinstance(parent, Cut) else merged


class Cut(dict[str, "str | None"]):
    """Properties over a cut: they start from nothing, whatever stands further out."""

    __slots__ = ()


def _merge_use_case(parent: UseCase | None, child: UseCase | None) -> UseCase | None:
    """Let members override inside the same use case; another name starts empty."""
    if child is None or parent is None:
        return parent if child is None else child
    if child.settled:
        return child
    inherited = parent if child.before is None else _override_members(parent, child.before)
    if child.name is None or child.name == parent.name:
        return _override_members(inherited, child)
    if parent.name is None:
        return replace(child, before=inherited)
    return replace(child, settled=True, before=None)


def _override_members(parent: UseCase, child: UseCase) -> UseCase:
    return replace(
        parent,
        id=_nearest(child.id, parent.id),
        version=parent.version if child.version is None else child.version,
        step=_nearest(child.step, parent.step),
        properties=merge_properties(parent.properties, child.properties),
    )


class Scope:
    """One entry of a decorator: the merged values, and whether an instance of a use case begins here (`mints`).

    It links to what it may need of the scopes around it, the nearest that mints and the nearest open block, and not to
    the scope around it: a callback that schedules itself from inside would make an endless chain of those.
    """

    __slots__ = ("_instance_id", "block", "minter", "mints", "values")
    values: Values
    mints: bool
    minter: Scope | None
    block: Block | None
    _instance_id: str
    is_block = False

    def __init__(self, values: Values) -> None:
        """Make the outermost scope, which begins an instance of its own."""
        self.values = values
        self.mints = True
        self.minter = self.block = None

    def instance_id(self) -> str:
        """Return the id of the use-case instance that began here, made when first read."""
        try:
            return self._instance_id
        except AttributeError:
            from payi_instrument.ids import new_id

            with _making_id:  # a scope is shared by the threads and tasks that it was handed to
                if not hasattr(self, "_instance_id"):
                    self._instance_id = new_id()
                return self._instance_id


class Block(Scope):
    """One entry of a context block: reading an attribute gives the value in effect there.

    `limit_ids`, `user_id`, `use_case_id`, … are the fields of :class:`~payi_instrument.event.Attribution`;
    `last_result` is the result of the last call made inside, None before the first.
    """

    __slots__ = ("entry", "last_result", "left")
    entry: tuple[object, Token[Scope | None]]
    last_result: Result | None
    left: bool
    is_block = True

    if TYPE_CHECKING:
        limit_ids: tuple[str, ...]
        use_case_name: str | None
        use_case_id: str | None
        use_case_version: int | None
        use_case_step: str | None
        use_case_properties: Properties
        user_id: str | None
        account_name: str | None
        request_properties: Properties
        price_as_category: str | None
        price_as_resource: str | None
        resource_scope: str | None
        log_prompt_and_response: bool | None

    def __getattr__(self, name: str) -> object:
        """Return a value in effect, generating the use-case id when it is first read."""
        if name == "last_result":
            return None
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(attribution(self), name)


_making_id = threading.Lock()


def _after_fork_in_child() -> None:
    global _making_id  # a thread of the parent may hold the old one
    _making_id = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

_current: ContextVar[Scope | None] = ContextVar("payi_scope", default=None)
_last: ContextVar[Result | None] = ContextVar("payi_last_result", default=None)
current = _current.get
enter = _current.set
leave = _current.reset


def enter_block(scope: Block, block: object) -> None:
    """Enter a scope on behalf of a block, which leaves it by :func:`leave_block`."""
    scope.left = False
    scope.entry = (block, enter(scope))


def leave_block(block: object) -> None:
    """Leave the innermost scope here that this block entered; in a foreign context do nothing."""
    found = nearest_block(current())
    while found is not None:
        if found.entry[0] is block:
            found.left = True
            leave_anywhere(found.entry[1])
            return
        found = found.block


def nearest_block(scope: Scope | None) -> Block | None:
    """Return the block that a scope is, or the nearest one around it."""
    return scope if isinstance(scope, Block) else scope.block if scope is not None else None


def still_open(block: Block | None) -> Block | None:
    """Return a block or the nearest one around it that was not left yet."""
    while block is not None and block.left:
        block = block.block
    return block


def leave_anywhere(token: Token[Scope | None]) -> None:
    """Leave a scope; in a foreign context, where it was never entered, do nothing."""
    try:  # noqa: SIM105  # suppress() costs more than the rest of it
        leave(token)
    except ValueError:
        pass


class _Global:
    """The process-wide scope: in effect in every thread and task, under every other scope."""

    scope: Scope | None = None


def set_global(values: Values | None) -> None:
    """Install the process-wide values, or remove them with None; what the former meter answered is forgotten here."""
    _warned.clear()
    forget_result()
    _Global.scope = None if values is None else Scope(values)


def has_scope() -> bool:
    """Say whether any scope is in effect here, the global one included."""
    return _Global.scope is not None or current() is not None


def attribution(scope: Scope | None) -> Attribution:
    """Return the values in effect in `scope`, the global ones included."""
    outermost = _Global.scope
    global_values = outermost.values if outermost is not None else None
    values = scope.values if scope is not None else NOTHING
    cached = values.resolved
    if cached is None or cached[0] is not global_values:
        cached = (global_values, _resolve(values if global_values is None else merge(global_values, values)))
        values.resolved = cached
    base = cached[1]
    if base.use_case_name is None or base.use_case_id is not None:
        # "" is the explicit wish for no id
        return base if base.use_case_id != "" else base.with_use_case_id(None)
    owner = scope if scope is None or scope.mints else scope.minter
    if outermost is not None and (owner is None or _same_use_case(global_values, values)):
        owner = outermost
    return base.with_use_case_id(owner.instance_id()) if owner is not None else base


def began_here(use_case_id: str) -> bool:
    """Say whether an instance with this id was begun by the scope that this code runs in, or by the global values."""
    scope = current()
    owner = scope if scope is None or scope.mints else scope.minter
    return any(
        began is not None and getattr(began, "_instance_id", None) == use_case_id for began in (owner, _Global.scope)
    )


def _same_use_case(outer: Values | None, inner: Values) -> bool:
    if outer is None or outer.use_case is None or inner.use_case is None:
        return inner.use_case is None
    return not inner.use_case.settled and inner.use_case.name in {None, outer.use_case.name}


def _resolve(values: Values) -> Attribution:
    """Turn declared values into the values in effect: cuts and removed keys are gone."""
    from payi_instrument.event import Attribution  # at the first call, not on the way to the decorators

    use_case = values.use_case or UseCase()
    if not use_case.name:
        _warn_of_dropped(use_case)
        use_case = UseCase()
    return Attribution(
        limit_ids=values.limit_ids or (),
        use_case_name=use_case.name,
        use_case_id=use_case.id,
        use_case_version=use_case.version,
        use_case_step=use_case.step or None,
        use_case_properties=_kept(use_case.properties),
        user_id=values.user_id or None,
        account_name=values.account_name or None,
        request_properties=_kept(values.request_properties),
        price_as_category=values.price_as_category or None,
        price_as_resource=values.price_as_resource or None,
        resource_scope=values.resource_scope or None,
        log_prompt_and_response=values.log_prompt_and_response,
    )


_warned: set[tuple[str, ...]] = set()


def _warn_of_dropped(use_case: UseCase) -> None:
    """Say which members came to nothing, once: a decorated function may run a million times."""
    members = ("id", "version", "step", "properties")
    dropped = tuple(f"use_case_{name}" for name in members if getattr(use_case, name) not in (None, "", {}))
    if dropped and dropped not in _warned:
        _warned.add(dropped)
        logger.warning("payi: no use_case_name is in effect; dropped: %s", ", ".join(dropped))


def _kept(properties: Properties | None) -> Properties:
    return {key: value for key, value in (properties or {}).items() if value is not None}


def remember(result: Result) -> None:
    """Make `result` the last one of this task or thread, and of every block around the call."""
    _last.set(result)
    block = nearest_block(current())
    while block is not None:
        block.last_result = result
        block = block.block


def last_result() -> Result | None:
    """Return the result of the last call that this task or thread made, its awaited children's included."""
    return _last.get()


def forget_result() -> None:
    """Go on without the result of what ran here before."""
    _last.set(None)
