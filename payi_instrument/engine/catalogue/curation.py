"""Add what `curated.json` knows to the models that the generator made from its source.

What the source leaves out: models that cost nothing, release dates, with the aliases that move from one dated model to
the next, prices of audio and of searches, and caps of input and output.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NotRequired, TypeAlias, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.engine.catalogue.document import Field

Clause: TypeAlias = "dict[str, str | list[Clause]]"

_PER = 1_000_000
_PER_KILO = 1000


class VersionEntry(TypedDict):
    """A member of `versions` in the price file: prices in USD for one unit, as text, from `start` on."""

    start: str
    large_context_threshold: NotRequired[int]
    units: dict[str, dict[str, str]]


class HoursEntry(TypedDict):
    """A member of `hours` in the price file: what stands in for a version's prices from `begin` to `end` of each day."""

    begin: str
    end: str
    large_context_threshold: NotRequired[int]
    units: dict[str, dict[str, str]]


class AliasPart(TypedDict):
    """A member of `alias_of` in the price file."""

    start: str
    resource: str


class ModelEntry(TypedDict, total=False):
    """A model in the price file: priced (`versions`) or an alias (`alias_of`)."""

    description: str
    match: Clause
    max_input_units: int
    max_output_units: int
    versions: list[VersionEntry]
    hours: list[HoursEntry]
    alias_of: list[AliasPart]


Models: TypeAlias = dict[str, dict[str, ModelEntry]]
"""Providers, their models by name."""


def midnight(day: str) -> str:
    """Return the start of a day in UTC as the price file writes it."""
    return f"{day}T00:00:00Z"


def curate(providers: Models, curated: Field) -> None:
    """Change `providers` as the curated file says.

    Raise `ValueError` naming the place in that file when it names a model that the source doesn't price, adds one that
    the source does price, or states a price that the source contradicts.
    """
    for models, name, model in _models(providers, curated.member("added")):
        if name in models:
            model.refuse("a model that the source does not price; remove this one")
        models[name] = cast("ModelEntry", model.value)
    for models, name, model in _models(providers, curated.member("dated")):
        models[name] = _dated(models, model)
    for models, name, targets in _models(providers, curated.member("aliases")):
        parts = [(_versions(models, target)[0]["start"], target.text()) for target in targets.items()]
        models[name] = {"alias_of": [{"start": start, "resource": target} for start, target in parts]}
    for group, add in (("audio_mtok", _add_audio), ("searches_kcount", _add_searches)):
        for models, name, prices in _models(providers, curated.member(group)):
            for version in _entry(models, name, prices).get("versions", []):
                add(version, prices)
    for models, name, cap in _models(providers, curated.member("max_input_units")):
        _entry(models, name, cap)["max_input_units"] = cap.count()
    for models, name, cap in _models(providers, curated.member("max_output_units")):
        _entry(models, name, cap)["max_output_units"] = cap.count()


def _models(providers: Models, group: Field) -> list[tuple[dict[str, ModelEntry], str, Field]]:
    return [
        (providers[provider], name, model)
        for provider, models in group.member("providers").members().items()
        for name, model in models.members().items()
    ]


def _entry(models: Mapping[str, ModelEntry], name: str, place: Field) -> ModelEntry:
    entry = models.get(name)
    if entry is None or "versions" not in entry:
        message = f"{place.place} is about {name!r}, which the source does not price; correct the name or remove it"
        raise ValueError(message)
    return entry


def _versions(models: Mapping[str, ModelEntry], name: Field) -> list[VersionEntry]:
    return _entry(models, name.text(), name).get("versions", [])


def _dated(models: Mapping[str, ModelEntry], model: Field) -> ModelEntry:
    """Give a dated model the source's prices from its release on."""
    start = midnight(model.member("start").text())
    prices_of = model.member("prices_of")
    versions = _versions(models, prices_of)
    first = max(index for index, version in enumerate(versions) if index == 0 or version["start"] <= start)
    _agree(versions[first], model.member("text_mtok"))
    copied = _entry(models, prices_of.text(), prices_of).copy()
    copied.pop("match", None)
    copied["versions"] = [{**versions[first], "start": start}, *versions[first + 1 :]]
    return copied


def _add_audio(version: VersionEntry, audio_mtok: Field) -> None:
    if "audio" in version["units"]:
        audio_mtok.refuse("a model without a price of audio in the source; remove this one")
    sides = zip(("input", "output"), audio_mtok.items(), strict=True)
    version["units"]["audio"] = {side: f"{(price.price() / _PER).normalize():f}" for side, price in sides}


def _add_searches(version: VersionEntry, searches_kcount: Field) -> None:
    for unit, price in zip(("web_search_request", "file_search_request"), searches_kcount.items(), strict=True):
        if unit in version["units"]:
            price.refuse("a model without a price of searches in the source; remove this one")
        version["units"][unit] = {"output": f"{(price.price() / _PER_KILO).normalize():f}"}


def _agree(version: VersionEntry, text_mtok: Field) -> None:
    stated = [Decimal(version["units"]["text"][side]) * _PER for side in ("input", "output")]
    if stated != [price.price() for price in text_mtok.items()]:
        found = " and ".join(f"{price.normalize():f}" for price in stated)
        text_mtok.refuse(f"the source's {found}; see which is right on the provider's page")
