"""Make `system.json` from the price data of genai-prices and the hand-written `curated.json`.

The models of each provider are in a file of their own, `system/<provider>.json`, so that a program reads only those
that it uses. Run `python -m payi_instrument.engine.catalogue.generate` to renew the packaged files, with
`--output PATH` to write others, with `--check` to see whether the files are what the installed source gives (exit
code 1 when they are not; the date of generation doesn't count). Only this module imports genai-prices, and only a
build or `prices refresh` runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from genai_prices.data import providers
from genai_prices.data_units import unit_data
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from payi_instrument.engine.catalogue.catalogue import SYSTEM_FILE
from payi_instrument.engine.catalogue.curation import HoursEntry, ModelEntry, VersionEntry, curate, midnight
from payi_instrument.engine.catalogue.document import read_document
from payi_instrument.engine.pricing import LARGE_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import time

    from genai_prices.types import ConditionalPrice, MatchLogic, ModelInfo, ModelPrice, PriceVariant

    from payi_instrument.engine.catalogue.curation import Clause, Models

    Price: TypeAlias = Decimal | TieredPrices
    LeftOut: TypeAlias = Counter[str]
    """What the file can't hold of the source, counted."""

CURATED_FILE = Path(__file__).with_name("curated.json")

_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Start of prices that the source doesn't date (resources-semantics section 2)."""
_END = datetime(9999, 1, 1, tzinfo=UTC)
_TIER_CONTEXTS = {
    "_priority": {"service_tier": "priority"},
    "_flex": {"service_tier": "flex"},
    "_batch": {"processing": "batch"},
}
_UNITS = {
    "input_mtok": ("text", "input"),
    "output_mtok": ("text", "output"),
    "cache_read_mtok": ("text_cache_read", "input"),
    "cache_write_mtok": ("text_cache_write", "input"),
    "cache_write_1h_mtok": ("text_cache_write_1h", "input"),
    "output_reasoning_mtok": ("reasoning", "output"),
    "input_audio_mtok": ("audio", "input"),
    "cache_audio_read_mtok": ("audio_cache_read", "input"),
    "output_audio_mtok": ("audio", "output"),
    "input_image_mtok": ("vision", "input"),
    "cache_image_read_mtok": ("vision_cache_read", "input"),
    "output_image_mtok": ("image", "output"),
    "input_video_mtok": ("video", "input"),
    "cache_video_read_mtok": ("video_cache_read", "input"),
    "output_video_mtok": ("video", "output"),
    "web_searches_kcount": ("web_search_request", "output"),
    "storage_searches_kcount": ("file_search_request", "output"),
    "input_mchars": ("characters", "input"),
    "audio_hours": ("audio_seconds", "input"),
    "input_audio_hours": ("audio_seconds", "input"),
}
"""Our unit for each of the source's price keys; of two keys for one unit the later, more specific one wins."""
_PER: dict[str, int] = {unit["price_key"]: unit["per"] for unit in unit_data.values()}
_FINEST = Decimal(1).scaleb(-24)
"""Prices per hour don't divide evenly into seconds; 24 places give the right amount at the ledger's twelve."""


def build_documents(output: Path, left_out: LeftOut) -> dict[Path, Mapping[str, object]]:
    """Return what each file of the catalogue holds, and count in `left_out` what of the source they can't hold.

    `output` is the file that names the others.

    Raise `ValueError` when the curated file contradicts the source.
    """
    curated = read_document(CURATED_FILE)
    categories = curated.member("categories")
    names = [name.text() for category in categories.members().values() for name in category.member("providers").items()]
    models: Models = {
        provider.id: {model.id: entry for model in provider.models if (entry := _model(model, left_out))}
        for provider in providers
        if provider.id in names
    }
    curate(models, curated)
    files = {provider: output.with_suffix("") / f"{provider}.json" for provider in models}
    frame: dict[str, object] = {
        "about": "Prices of the providers' models in USD for one unit. Made by generate.py; edit curated.json instead.",
        "generated": datetime.now(UTC).date().isoformat(),
        "source": {"name": "genai-prices", "version": installed_version("genai-prices"), "licence": "MIT, see NOTICE"},
        "categories": categories.value,
        "providers": {provider: f"{file.parent.name}/{file.name}" for provider, file in files.items()},
    }
    return {output: frame, **{file: models[provider] for provider, file in files.items()}}


def _model(model: ModelInfo, left_out: LeftOut) -> ModelEntry | None:
    standard = _standard(model, left_out)
    versions, hours = list(_versions(standard, left_out)), list(_hours(model, standard, left_out))
    if not versions:
        left_out["models without a price"] += 1
        return None
    entry: ModelEntry = {}
    if model.name and model.name != model.id:
        entry["description"] = model.name
    if hours:
        times = ", ".join(f"{item['begin']} to {item['end']}" for item in hours)
        entry["description"] = f"{model.name or model.id}; other prices from {times} UTC"
    clause = _clause(model.match)
    if clause != {"equals": model.id}:
        entry["match"] = clause
    if model.context_window:
        entry["max_input_units"] = entry["max_output_units"] = model.context_window
    entry["versions"] = versions
    if hours:
        entry["hours"] = hours
    return entry


def _standard(model: ModelInfo, left_out: LeftOut) -> ModelInfo:
    """Drop prices for a time of day, which are no versions: see `_hours`."""
    variants = [variant for variant in model.price_variants or [] if not _by_time_of_day(variant)]
    left_out["price variants for a time of day"] += len(model.price_variants or []) - len(variants)
    known = [*_TIER_CONTEXTS.values(), {"service_tier": "default"}]
    priority = [variant.prices for variant in variants if variant.when == _TIER_CONTEXTS["_priority"]]
    for variant in variants:
        # OpenAI answers `priority` for what it sells as fast, at the same price.
        same = variant.when == {"service_tier": "fast"} and variant.prices in priority
        if variant.when not in known and not same:
            left_out[f"price variants for {variant.when}"] += 1
    if not isinstance(model.prices, list):
        return replace(model, price_variants=variants)
    return replace(model, prices=[p for p in model.prices if not _by_time_of_day(p)], price_variants=variants)


def _hours(model: ModelInfo, standard: ModelInfo, left_out: LeftOut) -> Iterator[HoursEntry]:
    """Yield what a model costs at times of day, whatever the date."""
    for price in model.prices if isinstance(model.prices, list) else []:
        if not isinstance(price.constraint, TimeOfDateConstraint):
            continue
        begin, end = _utc(price.constraint.start_time), _utc(price.constraint.end_time)
        for version in list(_versions(replace(standard, prices=price.prices), left_out))[-1:]:
            entry: HoursEntry = {"begin": begin, "end": end, "units": version["units"]}
            if "large_context_threshold" in version:
                entry["large_context_threshold"] = version["large_context_threshold"]
            yield entry


def _utc(moment: time) -> str:
    return f"{datetime.combine(_BEGINNING, moment, moment.tzinfo or UTC).astimezone(UTC):%H:%M}"


def _by_time_of_day(price: ConditionalPrice | PriceVariant) -> bool:
    return isinstance(price.constraint, TimeOfDateConstraint)


def _versions(model: ModelInfo, left_out: LeftOut) -> Iterator[VersionEntry]:
    """Yield a version for every date on which the source changes a price.

    The source dates its tiers by the day on which somebody read them on the provider's page, not by the day on which
    they came into force; so the price that a tier has at the end of a version's time stands for all of it.
    """
    before: VersionEntry | None = None
    starts = sorted(_starts(model))
    for start, end in zip(starts, [*starts[1:], _END], strict=True):
        standard = _prices(model.get_prices(start))
        stated = {"": standard}
        for tier, context in _TIER_CONTEXTS.items():
            prices = _prices(model.get_prices(end - timedelta(seconds=1), context))
            stated[tier] = {key: price for key, price in prices.items() if price != standard.get(key)}
        entry = _version(start, stated, left_out)
        if entry["units"] and (before is None or {**before, "start": ""} != {**entry, "start": ""}):
            yield entry
            before = entry


def _starts(model: ModelInfo) -> set[datetime]:
    """Return when prices change: dated prices, and tiers from their second date on (see `_versions` for the first)."""
    prices = model.prices if isinstance(model.prices, list) else []
    starts = {_start(price) for price in prices}
    for context in _TIER_CONTEXTS.values():
        of_tier = sorted({_start(variant) for variant in model.price_variants or [] if variant.when == context})
        starts.update(of_tier[1:])
    return starts | {_BEGINNING}


def _start(price: ConditionalPrice | PriceVariant) -> datetime:
    if not isinstance(price.constraint, StartDateConstraint):
        return _BEGINNING
    return datetime.combine(price.constraint.start_date, datetime.min.time(), tzinfo=UTC)


def _prices(prices: ModelPrice) -> dict[str, Price]:
    stated = cast("Mapping[str, Price | None]", vars(prices))
    return {key: price for key, price in stated.items() if price is not None}


def _version(start: datetime, stated: Mapping[str, Mapping[str, Price]], left_out: LeftOut) -> VersionEntry:
    units: dict[str, dict[str, str]] = {}
    thresholds: set[int] = set()
    for tier, prices in stated.items():
        for key in prices.keys() - _UNITS.keys():
            left_out[f"prices named {key}"] += 1
        for key, (unit, side) in _UNITS.items():
            match prices.get(key):
                case None:
                    continue
                case TieredPrices(base=base, tiers=[tiered, *more]):
                    units.setdefault(unit + tier, {})[side] = _text(base, key)
                    units.setdefault(unit + LARGE_CONTEXT + tier, {})[side] = _text(tiered.price, key)
                    thresholds.add(tiered.start)
                    left_out["context steps past the first"] += len(more)
                case TieredPrices(base=base) | base:
                    units.setdefault(unit + tier, {})[side] = _text(base, key)
    left_out["context thresholds past the first"] += max(0, len(thresholds) - 1)
    entry: VersionEntry = {"start": midnight(start.date().isoformat()), "units": units}
    if thresholds:
        entry["large_context_threshold"] = min(thresholds)
    return entry


def _text(price: Decimal, key: str) -> str:
    return f"{(price / _PER[key]).quantize(_FINEST).normalize():f}"


def _clause(match: MatchLogic) -> Clause:
    clause: Clause
    match match:
        case ClauseOr(or_=parts):
            clause = {"or": [_clause(part) for part in parts]}
        case ClauseAnd(and_=parts):
            clause = {"and": [_clause(part) for part in parts]}
        case ClauseRegex(regex=pattern):
            clause = {"regex": pattern}
        case ClauseEquals(equals=text):
            clause = {"equals": text.lower()}
        case ClauseStartsWith(starts_with=text):
            clause = {"starts_with": text.lower()}
        case ClauseEndsWith(ends_with=text):
            clause = {"ends_with": text.lower()}
        case ClauseContains(contains=text):
            clause = {"contains": text.lower()}
    return clause


def _render(value: object, depth: int, pad: str = "\n ") -> str:
    """Write JSON with a line for each member, down to a depth: a change of one model is a change of one line."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    members = cast("dict[str, object]", value)
    lines = [f"{pad}{json.dumps(name)}: {_render(member, depth - 1, pad + ' ')}" for name, member in members.items()]
    return "{" + ",".join(lines) + pad[:-1] + "}"


def _is_current(path: Path, document: Mapping[str, object]) -> bool:
    try:
        found = {name: field.value for name, field in read_document(path).members().items()}
    except (OSError, ValueError):
        return False
    return {**found, "generated": None} == {**json.loads(json.dumps(document)), "generated": None}


def main(arguments: Sequence[str]) -> int:
    """Run the generator; return the exit code."""
    parser = argparse.ArgumentParser(prog="generate", description="Make the price catalogue.")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("--output", type=Path, default=SYSTEM_FILE, help="the file; the packaged one by default")
    options = parser.parse_args(arguments)
    left_out: LeftOut = Counter()
    documents = build_documents(options.output, left_out)
    for what, count in sorted((+left_out).items()):
        sys.stdout.write(f"left out: {count} {what}\n")
    if not options.check:
        for path, document in documents.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(_render(document, 2 if path == options.output else 1) + "\n", encoding="utf-8")
        return 0
    current = all(_is_current(path, document) for path, document in documents.items())
    sys.stdout.write(f"{options.output.name} is {'current' if current else 'out of date: run the generator'}\n")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
