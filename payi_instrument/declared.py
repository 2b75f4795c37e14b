"""What a decorator, a context block or the configuration declares of a scope, checked where it is written.

Source: instrumentation-semantics section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from payi_instrument.scope import Cut, UseCase, Values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payi_instrument.scope import Properties

LimitIds = list[str] | tuple[str, ...] | set[str] | frozenset[str]


def declared(  # the parameters of section 4.1
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
    **unknown: object,
) -> Values:
    """Check the values of a scope and make them ready to merge. Raises `TypeError` naming the bad argument."""
    if unknown:
        known = ", ".join(name for name in declared.__annotations__ if name not in {"unknown", "return"})
        msg = f"{next(iter(unknown))}: there is no such value of a scope; known are {known}"
        raise TypeError(msg)
    texts = {
        "use_case_name": use_case_name,
        "use_case_id": use_case_id,
        "use_case_step": use_case_step,
        "user_id": user_id,
        "account_name": account_name,
        "price_as_category": price_as_category,
        "price_as_resource": price_as_resource,
        "resource_scope": resource_scope,
    }
    for name, text in texts.items():
        _check(name, text, str)
    _check("use_case_version", use_case_version, int)
    _check("log_prompt_and_response", log_prompt_and_response, bool)
    _check("proxy", proxy, bool)
    if proxy:
        msg = "proxy=True: this feature is not built yet; leave it out to meter the call"
        raise ValueError(msg)
    ids = _checked_ids(limit_ids)
    use_case = UseCase(
        name=use_case_name,
        id=use_case_id,
        version=use_case_version,
        step=use_case_step,
        properties=_checked_properties("use_case_properties", use_case_properties),
    )
    said = (use_case.name, use_case.id, use_case.version, use_case.step, use_case.properties)
    return Values(
        limit_ids=ids,
        cuts_limits=limit_ids is not None and len(limit_ids) == 0,
        use_case=use_case if any(value is not None for value in said) else None,
        user_id=user_id,
        account_name=account_name,
        request_properties=_checked_properties("request_properties", request_properties),
        price_as_category=price_as_category,
        price_as_resource=price_as_resource,
        resource_scope=resource_scope,
        log_prompt_and_response=log_prompt_and_response,
    )


def _check(name: str, value: object, kind: type) -> None:
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return
    msg = f"{name}: {value!r} is a {type(value).__name__}, expected {kind.__name__} or None"
    raise TypeError(msg)


def _checked_ids(limit_ids: LimitIds | None) -> tuple[str, ...] | None:
    """Trim the ids and drop blanks and repeats; the order stays."""
    if limit_ids is None:
        return None
    if not isinstance(cast("object", limit_ids), (list, tuple, set, frozenset)):
        msg = f"limit_ids: {limit_ids!r} is a {type(limit_ids).__name__}, expected a list of str"
        raise TypeError(msg)
    for limit_id in cast("Iterable[object]", limit_ids):
        if not isinstance(limit_id, str):
            msg = f"limit_ids: {limit_id!r} is a {type(limit_id).__name__}, expected every id to be a str"
            raise TypeError(msg)
    ids = sorted(limit_ids) if isinstance(limit_ids, (set, frozenset)) else limit_ids
    return tuple(dict.fromkeys(limit_id.strip() for limit_id in ids if limit_id.strip()))


def _checked_properties(name: str, properties: Mapping[str, object] | None) -> Properties | None:
    """Turn scalars into text; an empty mapping cuts."""
    if properties is None:
        return None
    if not isinstance(cast("object", properties), Mapping):
        msg = f"{name}: {properties!r} is a {type(properties).__name__}, expected a mapping of str to str"
        raise TypeError(msg)
    checked: dict[str, str | None] = {}
    for key, value in properties.items():
        if not isinstance(cast("object", key), str) or not isinstance(value, _SCALARS):
            msg = f"{name}[{key!r}]: {value!r} is a {type(value).__name__}, expected str keys with str values or None"
            raise TypeError(msg)
        checked[key] = value if value is None or isinstance(value, str) else str(value)
    return checked or Cut()


_SCALARS = (str, int, float, bool, type(None))
