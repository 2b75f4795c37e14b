"""Hold the models of one provider: which of them a name means, and what they cost from when on.

A model of the file is either priced (`versions`, optionally `hours`, `match`, caps and a `description`) or an alias
(`alias_of`) that stands for other models of the same provider, one after the other. Prices are read when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from payi_instrument.engine.catalogue.derivation import full_units
from payi_instrument.engine.catalogue.document import read_document
from payi_instrument.engine.catalogue.matching import read_clause
from payi_instrument.engine.pricing import HourlyPrices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from payi_instrument.engine.catalogue.derivation import Stated
    from payi_instrument.engine.catalogue.document import Field
    from payi_instrument.engine.catalogue.matching import Matcher
    from payi_instrument.engine.pricing import UnitPrice


@dataclass(frozen=True, slots=True)
class Period:
    """Describe what a model costs from `start` until the next period's start.

    `content` spells what the file states (prices, threshold, hours): equal content, equal identity of a version.
    """

    start: datetime
    units: Mapping[str, UnitPrice]
    content: str
    large_context_threshold: int | None = None
    max_input_units: int | None = None
    max_output_units: int | None = None
    description: str | None = None
    aliased: str | None = None
    hours: tuple[HourlyPrices, ...] = ()


class Provider:
    """Find models by name and read their prices; nothing is read up front."""

    def __init__(self, models: Field, folder: Path) -> None:
        """Take the provider's member of the price file: its models, or the name of a file in `folder` that holds them.

        Models come by name, in the order in which they are matched.
        """
        self._stated = models
        self._folder = folder
        self._periods: dict[str, tuple[Period, ...]] = {}

    def names(self) -> list[str]:
        """List the models, aliases too, in the order of the file."""
        return list(self._models)

    def find(self, name: str) -> str | None:
        """Return the model that a name in lower case means: the one of that name, else the first whose clause matches.

        The source takes the first match in its own order, alphabetical by model, and so does the file.
        """
        if found := self._by_lower_name.get(name):
            return found
        return next((model for model, matches in self._matchers if matches(name)), None)

    def periods(self, model: str) -> tuple[Period, ...]:
        """Return what a model costs, oldest first."""
        if model not in self._periods:
            members = self._models[model].members()
            alias = members.get("alias_of")
            self._periods[model] = tuple(self._aliased(alias) if alias else _priced(self._models[model], members))
        return self._periods[model]

    def check(self) -> None:
        """Read everything once, so that a mistake anywhere in the file is found now."""
        for model in self._models:
            self.periods(model)
        len(self._matchers)

    @cached_property
    def _models(self) -> dict[str, Field]:
        stated = self._stated
        return (read_document(self._folder / stated.text()) if isinstance(stated.value, str) else stated).members()

    @cached_property
    def _by_lower_name(self) -> dict[str, str]:
        return {name.lower(): name for name in self._models}

    @cached_property
    def _matchers(self) -> list[tuple[str, Matcher]]:
        clauses = ((name, model.members().get("match")) for name, model in self._models.items())
        return [(name, read_clause(clause)) for name, clause in clauses if clause is not None]

    def _aliased(self, alias: Field) -> Iterator[Period]:
        """Cut the periods of the models that an alias has stood for to the time in which it did."""
        parts = [(part.member("start").moment(), self._target(part.member("resource"))) for part in alias.items()]
        _rising([start for start, _ in parts], alias)
        ends = [start for start, _ in parts[1:]] + [None]
        for (start, target), end in zip(parts, ends, strict=True):
            periods = self.periods(target)
            nexts = [period.start for period in periods[1:]] + [None]
            for period, until in zip(periods, nexts, strict=True):
                begin = max(start, period.start)
                if (until is None or until > start) and (end is None or begin < end):
                    yield replace(period, start=begin, aliased=target)

    def _target(self, resource: Field) -> str:
        target = self._models.get(resource.text())
        if target is None or "alias_of" in target.members():
            resource.refuse("the name of a priced model of the same provider")
        return resource.text()


def _priced(model: Field, members: Mapping[str, Field]) -> Iterator[Period]:
    versions = model.member("versions")
    hours = [_hourly(item) for item in members["hours"].items()] if "hours" in members else []
    description = members.get("description")
    starts: list[datetime] = []
    for version in versions.items():
        starts.append(version.member("start").moment())
        _rising(starts, versions)
        stated, threshold = _stated(version)
        yield Period(
            start=starts[-1],
            units=full_units(stated),
            content="|".join([_content(stated, threshold), *(content for _, content in hours)]),
            large_context_threshold=threshold,
            max_input_units=_count(members, "max_input_units"),
            max_output_units=_count(members, "max_output_units"),
            description=description.text() if description else None,
            hours=tuple(prices for prices, _ in hours),
        )


def _hourly(item: Field) -> tuple[HourlyPrices, str]:
    """Return prices for hours of the day, and what the file states of them."""
    begin, end = item.member("begin").hour(), item.member("end").hour()
    stated, threshold = _stated(item)
    return HourlyPrices(begin, end, full_units(stated), threshold), f"{begin}-{end}:{_content(stated, threshold)}"


def _stated(prices: Field) -> tuple[Stated, int | None]:
    stated = {unit: _sides(sides) for unit, sides in prices.member("units").members().items()}
    if not stated:
        prices.member("units").refuse("at least one unit with its prices")
    return stated, _count(prices.members(), "large_context_threshold")


def _sides(unit: Field) -> tuple[Decimal | None, Decimal | None]:
    sides = unit.members()
    if not sides or not sides.keys() <= {"input", "output"}:
        unit.refuse("an object with the members 'input', 'output' or both")
    return (
        sides["input"].price() if "input" in sides else None,
        sides["output"].price() if "output" in sides else None,
    )


def _content(stated: Stated, threshold: int | None) -> str:
    """Spell prices by value: `0.10` and `0.1` are one price."""
    units = ";".join(f"{unit}={_plain(sides[0])}/{_plain(sides[1])}" for unit, sides in sorted(stated.items()))
    return f"{threshold}:{units}"


def _plain(price: Decimal | None) -> str:
    return "" if price is None else f"{price.normalize():f}"


def _count(members: Mapping[str, Field], name: str) -> int | None:
    field = members.get(name)
    return field.count() if field else None


def _rising(starts: list[datetime], place: Field) -> None:
    if any(later <= earlier for earlier, later in pairwise(starts)):
        place.refuse("starts that rise from item to item")
