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
from payi_instrument.ids import ordered_id
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from payi_instrument.engine.ledger import InstanceStore
    from payi_instrument.engine.limits import Terms
    from payi_instrument.event import Attribution, UsageEvent

T = TypeVar("T")


@dataclass(slots=True)
class Instance:
    """One run of a use case, in the ledger or on its way there.

    `latest` is the latest version of its definition, None while there is no definition. `version` is 0 until an event
    of it is kept, which says which one it takes. `terms` are those of an automatic limit that is yet to be made. Events
    of one transaction share it, and any of them may yet be refused: nothing but `Instances.keep` changes it.
    """

    application: str
    name: str
    id: str
    latest: int | None
    version: int
    limit_id: str | None
    is_stored: bool
    terms: Terms | None = None

    def chosen(self, version: int | None) -> int:
        """Return the version that it takes when its first event names this one, None for the latest.

        Raises `ContractError` for a version that never was.
        """
        return rules.check_version(version, self.latest or self.version or 1)

    @property
    def new_limit(self) -> LimitRow | None:
        """Return the limit that is made with it, None when there is none to make."""
        if self.is_stored or self.limit_id is None or self.terms is None:
            return None
        return LimitRow(self.limit_id, self.terms.limit_type, self.terms.max, self.terms.threshold, ZERO, ZERO)


def _or_none(check: Callable[[], T], warnings: list[str]) -> T | None:
    """Return what a check returns, or None with a warning of why it refuses."""
    try:
        return check()
    except ContractError as refusal:
        warnings.append(f"{refusal.code}: {refusal.message}")
        return None


class Instances:
    """The instances that one transaction's events belong to.

    Several events are drafted first, all of them, and booked then, in order. While `is_drafting` an id without a name may
    be that of an event before it, which may yet be refused: the event `is_guessed`, and drafted again when it is its turn.
    `candidates` are instances that such an event may turn out to belong to.
    """

    def __init__(self, store: InstanceStore, now: datetime) -> None:
        """Take the ledger's instances and the meter's time."""
        self._store = store
        self._now = now
        self._seen: dict[tuple[str, str, str], Instance] = {}
        self._by_id: dict[tuple[str, str], list[Instance]] = {}
        self.is_drafting = False
        self.has_guessed = False
        self.candidates: list[Instance] = []

    def is_guessed(self, application: str, event: UsageEvent) -> bool:
        """Say whether it depends on the events before it which use case an event belongs to."""
        who = event.attribution
        if who.use_case_name is not None or who.use_case_id is None:
            return False
        return not all(seen.is_stored for seen in self._by_id.get((application, who.use_case_id), ()))

    def of(self, application: str, event: UsageEvent, warnings: list[str]) -> tuple[Instance, int] | None:
        """Return the instance that an event names, a new one where the ledger has none, and the version that it asks for.

        Nothing is stored yet. Raises `ContractError` for a bad name, id or version; an instrumented event goes without it,
        with a warning.
        """
        who = event.attribution
        try:
            name = self._name(application, who.use_case_name, who.use_case_id)
            use_case_id = rules.check_id(who.use_case_id) if who.use_case_id is not None else ordered_id()
            instance = self.get(application, name, use_case_id)
            return instance, instance.chosen(who.use_case_version)
        except ContractError:
            if not event.record_unpriced:
                raise
        return self._without_bad_parts(application, who, warnings)

    def _without_bad_parts(
        self, application: str, who: Attribution, warnings: list[str]
    ) -> tuple[Instance, int] | None:
        """Return the instance that the good parts of an instrumented event name (decision 8)."""
        use_case_id = who.use_case_id
        if use_case_id is not None:
            use_case_id = _or_none(partial(rules.check_id, use_case_id), warnings)
        name = _or_none(lambda: self._name(application, who.use_case_name, use_case_id), warnings)
        if name is None:
            return None
        instance = self.get(application, name, use_case_id or ordered_id())
        version = _or_none(partial(instance.chosen, who.use_case_version), warnings) or instance.chosen(None)
        return instance, version

    def get(self, application: str, name: str, use_case_id: str) -> Instance:
        """Return the instance with this name and id, a new one where the ledger has none; nothing is stored yet."""
        key = (application, name, use_case_id)
        instance = self._seen.get(key)
        if instance is None:
            instance = self._seen[key] = self._found(key)
            if self.is_drafting:
                self._by_id.setdefault((application, use_case_id), []).append(instance)
        return instance

    def _name(self, application: str, name: str | None, use_case_id: str | None) -> str:
        if name is not None:
            return rules.check_name(name)
        names: set[str] = set()
        self.has_guessed |= self.is_drafting
        if use_case_id is not None:
            names.update(self._store.names(application, use_case_id))
            seen = self._by_id.get((application, use_case_id), ())
            names.update(each.name for each in seen if self.is_drafting or each.is_stored)
        if len(names) != 1:
            if self.is_drafting and use_case_id is not None:
                self.candidates += [self.get(application, each, use_case_id) for each in names]
            several = "several use cases have it" if names else "no use case has it"
            message = f"use_case_id: {use_case_id!r} comes without a use_case_name, and {several}; name the use case"
            raise ContractError("request_processing_error", message)
        return names.pop()

    def _found(self, key: tuple[str, str, str]) -> Instance:
        """Return the stored instance, or a new one, with the limit that its definition gives it."""
        found = self._store.find(*key)
        instance = Instance(*key, found.latest, found.version or 0, found.limit_id, is_stored=found.version is not None)
        if not instance.is_stored and found.limit_config is not None:
            application, name, use_case_id = key
            instance.limit_id = rules.limit_id(name, use_case_id)
            if not self._store.has_limit(application, instance.limit_id):  # it outlived an instance that was deleted
                instance.terms = rules.read_config(found.limit_config)
        return instance

    def keep(self, instance: Instance, version: int, changes: Mapping[str, str | None]) -> None:
        """Store what the instance of an event that is kept still lacks, and merge changes into its properties."""
        key = (instance.application, instance.name, instance.id)
        instance.version = instance.version or version
        if instance.latest is None:
            self._store.add_definition(instance.application, instance.name, rules.AUTOMATIC, to_micros(self._now))
            instance.latest = 1
        if not instance.is_stored:
            if (limit := instance.new_limit) is not None:
                self._add_limit(instance, limit)
            properties = merged(None, changes) if changes else None
            application, name, use_case_id = key
            self._store.add(
                InstanceRow(application, use_case_id, name, instance.version, instance.limit_id, properties)
            )
            instance.is_stored = True
        elif changes:
            self._store.save_properties(*key, merged(self._store.properties(*key), changes) or "{}")

    def _add_limit(self, instance: Instance, limit: LimitRow) -> None:
        is_taken = partial(self._store.has_limit_name, instance.application)
        name = rules.limit_name(instance.name, instance.id, is_taken)
        properties = instance.terms.properties if instance.terms is not None else None
        stored = json.dumps(dict(properties or {}))
        self._store.add_limit(instance.application, limit, name, stored, to_micros(self._now))


def merged(before: str | None, changes: Mapping[str, str | None]) -> str | None:
    """Return stored properties with changes merged in, None for none."""
    stored: dict[str, str] = json.loads(before) if before else {}
    kept = {key: value for key, value in {**stored, **changes}.items() if value is not None}
    return json.dumps(kept) if kept else None
