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
    from payi_instrument.event import Attribution, UsageEvent

T = TypeVar("T")


@dataclass(slots=True)
class Instance:
    """One run of a use case; `made_limit` is the automatic limit that is made with it, None when there is none to make.

    `latest` is the latest version of its use case.
    """

    application: str
    name: str
    id: str
    version: int
    limit_id: str | None = None
    made_limit: LimitRow | None = None
    limit_properties: Mapping[str, str] | None = None
    is_defined: bool = True
    is_stored: bool = True
    is_placed: bool = False
    latest: int = 1

    def at(self, version: int) -> Instance:
        """Return itself, at the version that its first event names; one that is stored keeps its own."""
        if not self.is_stored and not self.is_placed:
            self.version, self.is_placed = version, True
        return self


def _or_none(check: Callable[[], T], warnings: list[str]) -> T | None:
    """Return what a check returns, or None with a warning of why it refuses."""
    try:
        return check()
    except ContractError as refusal:
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
        try:
            name = self._name(application, who.use_case_name, who.use_case_id)
            use_case_id = rules.check_id(who.use_case_id) if who.use_case_id is not None else ordered_id()
            instance = self._get((application, name, use_case_id))
            return instance.at(rules.check_version(who.use_case_version, instance.latest))
        except ContractError:
            if not event.record_unpriced:
                raise
        return self._without_bad_parts(application, who, warnings)

    def _without_bad_parts(self, application: str, who: Attribution, warnings: list[str]) -> Instance | None:
        """Return the instance that the good parts of an instrumented event name (decision 8)."""
        use_case_id = who.use_case_id
        if use_case_id is not None:
            use_case_id = _or_none(partial(rules.check_id, use_case_id), warnings)
        name = _or_none(lambda: self._name(application, who.use_case_name, use_case_id), warnings)
        if name is None:
            return None
        instance = self._get((application, name, use_case_id or ordered_id()))
        version = _or_none(partial(rules.check_version, who.use_case_version, instance.latest), warnings)
        return instance.at(instance.latest if version is None else version)

    def _get(self, key: tuple[str, str, str]) -> Instance:
        instance = self._seen.get(key)
        if instance is None:
            instance = self._seen[key] = self._found(key)
        return instance

    def _name(self, application: str, name: str | None, use_case_id: str | None) -> str:
        if name is not None:
            return rules.check_name(name)
        names: set[str] = set()
        if use_case_id is not None:
            names.update(self._store.names(application, use_case_id))
            names.update(seen for owner, seen, known in self._seen if (owner, known) == (application, use_case_id))
        if len(names) != 1:
            several = "several use cases have it" if names else "no use case has it"
            message = f"use_case_id: {use_case_id!r} comes without a use_case_name, and {several}; name the use case"
            raise ContractError("request_processing_error", message)
        return names.pop()

    def _found(self, key: tuple[str, str, str]) -> Instance:
        """Return the stored instance, or a new one of the latest version."""
        found = self._store.find(*key)
        latest = found.latest or found.version or 1
        is_stored = found.version is not None
        instance = Instance(*key, found.version or latest, found.limit_id, latest=latest, is_stored=is_stored)
        instance.is_defined = found.latest is not None
        if not is_stored and found.limit_config is not None:
            application, name, use_case_id = key
            instance.limit_id = self._store.find_limit_id(application, rules.limit_name(name, use_case_id))
            if instance.limit_id is None:
                terms = rules.read_config(found.limit_config)
                limit = LimitRow(new_id(), terms.limit_type, terms.max, terms.threshold, ZERO, ZERO)
                instance.limit_id, instance.made_limit = limit.limit_id, limit
                instance.limit_properties = terms.properties
        return instance

    def keep(self, instance: Instance, event: UsageEvent) -> None:
        """Store what an event's instance still lacks, and merge the event's properties into it."""
        key, changes = (instance.application, instance.name, instance.id), event.attribution.use_case_properties
        if not instance.is_defined:
            self._store.add_definition(instance.application, instance.name, rules.AUTOMATIC, to_micros(self._now))
            instance.is_defined = True
        if not instance.is_stored:
            if instance.made_limit is not None:
                self._add_limit(instance, instance.made_limit)
            properties = merged(None, changes) if changes else None
            application, name, use_case_id = key
            self._store.add(
                InstanceRow(application, use_case_id, name, instance.version, instance.limit_id, properties)
            )
            instance.is_stored = True
        elif changes:
            self._store.save_properties(*key, merged(self._store.properties(*key), changes) or "{}")

    def _add_limit(self, instance: Instance, made: LimitRow) -> None:
        name, properties = (
            rules.limit_name(instance.name, instance.id),
            json.dumps(dict(instance.limit_properties or {})),
        )
        self._store.add_limit(instance.application, made, name, properties, to_micros(self._now))


def merged(before: str | None, changes: Mapping[str, str | None]) -> str | None:
    """Return stored properties with changes merged in, None for none."""
    stored: dict[str, str] = json.loads(before) if before else {}
    kept = {key: value for key, value in {**stored, **changes}.items() if value is not None}
    return json.dumps(kept) if kept else None
