"""The use case that an event belongs to: found, or made with the event that first names it, in one transaction.

Source: wire-api section 3.1, limits-semantics section 6.4, decision 8.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from payi_instrument.engine import use_cases as rules
from payi_instrument.engine.ledger import InstanceRow, LimitRow, to_micros
from payi_instrument.engine.pricing import ZERO
from payi_instrument.ids import new_id, ordered_id
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from payi_instrument.engine.ledger import InstanceStore
    from payi_instrument.engine.limits import Terms
    from payi_instrument.event import UsageEvent

T = TypeVar("T")


@dataclass(slots=True)
class Instance:
    """One run of a use case; `terms` are those of the automatic limit that is made with it, None when there is none.

    `latest` is the latest version of its use case.
    """

    application: str
    name: str
    id: str
    version: int
    limit_id: str | None = None
    terms: Terms | None = None
    is_defined: bool = True
    is_stored: bool = True
    latest: int = 1


def _or_without(check: Callable[[], T], event: UsageEvent, warnings: list[str]) -> T | None:
    """Return what a check returns; an instrumented event goes without it, with a warning (decision 8)."""
    try:
        return check()
    except ContractError as refusal:
        if not event.record_unpriced:
            raise
        warnings.append(f"{refusal.code}: {refusal.message}")
        return None


class Instances:
    """The instances that one transaction's events belong to."""

    def __init__(self, store: InstanceStore, now: datetime) -> None:
        """Take the ledger's instances and the meter's time."""
        self._store = store
        self._now = now
        self._seen: dict[tuple[str, str, str], Instance] = {}

    def of(self, application: str, event: UsageEvent, warnings: list[str]) -> Instance | None:
        """Return the instance that an event names, a new one where the ledger has none; nothing is stored yet.

        Raises `ContractError` for a bad name, id or version; an instrumented event goes without it, with a warning.
        """
        who = event.attribution
        use_case_id = who.use_case_id
        if use_case_id is not None:
            use_case_id = _or_without(partial(rules.check_id, use_case_id), event, warnings)
        name = _or_without(lambda: self._name(application, who.use_case_name, use_case_id), event, warnings)
        if name is None:
            return None
        key = (application, name, use_case_id or ordered_id())
        instance = self._seen.get(key) or self._found(key)
        check = partial(rules.check_version, who.use_case_version, instance.latest)
        version = _or_without(check, event, warnings)
        if key not in self._seen and not instance.is_stored and version is not None:
            instance.version = version
        self._seen[key] = instance
        return instance

    def _name(self, application: str, name: str | None, use_case_id: str | None) -> str:
        if name is not None:
            return rules.check_name(name)
        names = self._store.names(application, use_case_id) if use_case_id is not None else []
        if len(names) != 1:
            several = "several use cases have it" if names else "no use case has it"
            message = f"use_case_id: {use_case_id!r} comes without a use_case_name, and {several}; name the use case"
            raise ContractError("request_processing_error", message)
        return names[0]

    def _found(self, key: tuple[str, str, str]) -> Instance:
        """Return the stored instance, or a new one of the latest version."""
        found = self._store.find(*key)
        latest = found.latest or found.version or 1
        is_stored = found.version is not None
        instance = Instance(*key, found.version or latest, found.limit_id, latest=latest, is_stored=is_stored)
        instance.is_defined = found.latest is not None
        if not is_stored and found.limit_config is not None:
            application, name, use_case_id = key
            known = self._store.find_limit_id(application, rules.limit_name(name, use_case_id))
            instance.limit_id = known or new_id()
            instance.terms = rules.read_config(found.limit_config) if known is None else None
        return instance

    def keep(self, instance: Instance, event: UsageEvent) -> None:
        """Store what an event's instance still lacks, and merge the event's properties into it."""
        key, changes = (instance.application, instance.name, instance.id), event.attribution.use_case_properties
        if not instance.is_defined:
            self._store.add_definition(instance.application, instance.name, rules.AUTOMATIC, to_micros(self._now))
            instance.is_defined = True
        if not instance.is_stored:
            self._add_limit(instance)
            properties = merged(None, changes) if changes else None
            application, name, use_case_id = key
            self._store.add(
                InstanceRow(application, use_case_id, name, instance.version, instance.limit_id, properties)
            )
            instance.is_stored = True
        elif changes:
            self._store.save_properties(*key, merged(self._store.properties(*key), changes) or "{}")

    def _add_limit(self, instance: Instance) -> None:
        row, terms = automatic_limit(instance), instance.terms
        if row is not None and terms is not None:
            name, properties = rules.limit_name(instance.name, instance.id), json.dumps(dict(terms.properties or {}))
            self._store.add_limit(instance.application, row, name, properties, to_micros(self._now))


def automatic_limit(instance: Instance) -> LimitRow | None:
    """Return the limit that is made with an instance, None when none is."""
    if instance.limit_id is None or instance.terms is None:
        return None
    terms = instance.terms
    return LimitRow(instance.limit_id, terms.limit_type, terms.max, terms.threshold, ZERO, ZERO)


def merged(before: str | None, changes: Mapping[str, str | None]) -> str | None:
    """Return stored properties with changes merged in, None for none."""
    stored: dict[str, str] = json.loads(before) if before else {}
    kept = {key: value for key, value in {**stored, **changes}.items() if value is not None}
    return json.dumps(kept) if kept else None
