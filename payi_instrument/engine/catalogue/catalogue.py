"""Resolve the name of a model, at the time of an event, to the prices that were in force.

The catalogue maps categories to the models of one or more providers; its files are made by `generate.py`. A provider's
models are read when one of its categories is first asked, and prices turn into numbers when a model is.
Source: resources-semantics sections 2 and 4, decision 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from payi_instrument.engine.catalogue.document import Field, read_document
from payi_instrument.engine.catalogue.provider import Provider
from payi_instrument.engine.pricing import ResourceVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

SYSTEM_FILE = Path(__file__).with_name("system.json")

_IDENTITY = UUID("4f6f1f3e-6d1c-5b8e-9a57-2b8a9f0c7d31")
"""Namespace of the ids of versions. Changing it changes every `resource_id` that a ledger has stored."""
_REMEMBERED = 4096
"""Names whose versions are kept at hand; a program uses a few dozen."""
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Catalogue:
    """Answer what a resource of a system category costs; immutable, safe for any number of threads."""

    def __init__(self, document: Field, folder: Path) -> None:
        """Take a parsed price file, and the folder that the files which it names are in.

        Raise `ValueError` when its frame is malformed; models are read when asked for.
        """
        stated = document.member("providers").members()
        providers = {name: Provider(models, folder) for name, models in stated.items()}
        self._providers = list(providers.values())
        categories = document.member("categories").members()
        self._categories = {name: _read_category(category, providers) for name, category in categories.items()}
        self._remembered = lru_cache(_REMEMBERED)(self._versions)
        self._listed = lru_cache(len(self._categories))(self._names)

    def resolve(self, category: str, resource: str, at: datetime) -> ResourceVersion | None:
        """Return the version of a resource that was in force at `at`, a time with its zone.

        None when the catalogue does not know the name, or did not yet know a price then. The answer bears the name
        asked for; when another entry of the catalogue prices it, that entry's name is its `aliased_resource` and (but
        for a dated alias such as `gpt-4o`, which has versions of its own) the `resource_id` is that entry's too. Where
        prices change by the hour it has those of the hour.
        """
        for version in reversed(self._remembered(category, resource)):
            if version.start <= at:
                return _at_hour(version, at) if version.hours else version
        return None

    def categories(self) -> list[str]:
        """List the names of the categories, sorted."""
        return sorted(self._categories)

    def resources(self, category: str) -> list[str]:
        """List the names of a category's resources, sorted; none when there is no such category.

        Names that only a match clause or a prefix leads to are not listed.
        """
        return list(self._listed(category)) if category in self._categories else []

    def versions(self, category: str, resource: str) -> list[ResourceVersion]:
        """List the versions of a resource, oldest first, each ending where the next one starts; none when unknown."""
        return list(self._remembered(category, resource))

    def by_id(self, resource_id: str) -> ResourceVersion | None:
        """Return the version with this id, None when this catalogue has none (an id of an older file, for one)."""
        return self._by_id.get(resource_id)

    def check(self) -> None:
        """Read every price and clause once; raise the `ValueError` of the first that is malformed."""
        for provider in self._providers:
            provider.check()

    @cached_property
    def _by_id(self) -> dict[str, ResourceVersion]:
        return {
            version.resource_id: version
            for category in self._categories
            for resource in self.resources(category)
            for version in self._versions(category, resource)
        }

    def _names(self, category: str) -> tuple[str, ...]:
        return tuple(sorted(self._categories[category].names()))

    def _versions(self, category: str, resource: str) -> tuple[ResourceVersion, ...]:
        shelf = self._categories.get(category)
        place = shelf.find(resource) if shelf else None
        if place is None:
            return ()
        provider, model = place
        periods = provider.periods(model)
        ends = [period.start for period in periods[1:]] + [None]
        return tuple(
            ResourceVersion(
                category=category,
                resource=str.__str__(resource),  # plain text: what is remembered serves every name that is equal
                resource_id=str(uuid5(_IDENTITY, f"{category}\n{model}\n{period.start.isoformat()}\n{period.content}")),
                start=period.start,
                end=end,
                units=period.units,
                max_input_units=period.max_input_units,
                max_output_units=period.max_output_units,
                large_context_threshold=period.large_context_threshold,
                aliased_resource=period.aliased or (None if model == resource else model),
                description=period.description,
                hours=period.hours,
            )
            for period, end in zip(periods, ends, strict=True)
        )


def _at_hour(version: ResourceVersion, at: datetime) -> ResourceVersion:
    """Return a version with the prices of the hour."""
    moment = at.astimezone(UTC).time()
    for hours in version.hours:
        if hours.cover(moment):
            return replace(version, units=hours.units, large_context_threshold=hours.large_context_threshold)
    return version


@dataclass(frozen=True, slots=True)
class _Category:
    """Search several providers' models in order.

    `drop` are the patterns of what a name may bear in front; `prefix` is what the file's names may bear in its place.
    """

    providers: tuple[Provider, ...]
    drop: tuple[re.Pattern[str], ...] = ()
    prefix: str = ""

    def find(self, resource: str) -> tuple[Provider, str] | None:
        """Return the model meant, spelling by spelling, and within each the category's own provider first."""
        for name in self._spellings(resource.lower()):
            for provider in self.providers:
                if model := provider.find(name):
                    return provider, model
        return None

    def names(self) -> set[str]:
        """Return the names that lead to themselves: another provider's model may be shadowed by a match clause."""
        return {name for provider in self.providers for name in provider.names() if self.find(name) == (provider, name)}

    def _spellings(self, name: str) -> Iterator[str]:
        yield name
        for pattern in self.drop:
            shorter = pattern.sub("", name, count=1)
            if shorter != name:
                yield (name := shorter)
        # Gateways write gpt-5.2-20251211 where the provider writes gpt-5.2-2025-12-11; the source reads both.
        dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
        if dashed != name:
            yield dashed
        if self.prefix:
            yield self.prefix + name


def _read_category(category: Field, providers: Mapping[str, Provider]) -> _Category:
    members = category.members()
    found: list[Provider] = []
    for name in category.member("providers").items():
        provider = providers.get(name.text())
        if provider is None:
            name.refuse(f"one of the file's providers: {', '.join(providers)}")
        found.append(provider)
    drop = [pattern.pattern() for pattern in members["drop"].items()] if "drop" in members else []
    prefix = members["prefix"].text() if "prefix" in members else ""
    return _Category(tuple(found), tuple(drop), prefix)


def load_catalogue(path: Path) -> Catalogue:
    """Read a price file of the packaged file's shape, with those that it names, and check all of it.

    `OSError` when one can't be read; `ValueError` that names the file, the place in it, the value and what belongs
    there.
    """
    catalogue = Catalogue(read_document(path), path.parent)
    catalogue.check()
    return catalogue


@cache
def system_catalogue() -> Catalogue:
    """Return the packaged catalogue; the first call of a process reads it, unchecked (the build's tests do that)."""
    return Catalogue(read_document(SYSTEM_FILE), SYSTEM_FILE.parent)
