"""The packaged catalogue as the engine meets it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

import pytest

from payi_instrument.engine.catalogue import load_catalogue, system_catalogue
from payi_instrument.engine.catalogue.catalogue import SYSTEM_FILE
from payi_instrument.engine.pricing import LARGE_CONTEXT, TIERS, TOKEN_UNITS, UnitPrice, price
from payi_instrument.wire.headers import PayiCategories

if TYPE_CHECKING:
    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.pricing import ResourceVersion

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MTOK = Decimal(1_000_000)


def found(category: str, resource: str, at: datetime = NOW) -> ResourceVersion:
    version = system_catalogue().resolve(category, resource, at)
    assert version is not None, f"{category}/{resource}"
    return version


def per_mtok(version: ResourceVersion, unit: str = "text") -> tuple[Decimal, Decimal]:
    return version.units[unit].input * MTOK, version.units[unit].output * MTOK


class Model(str, Enum):  # noqa: UP042  # what programs have that began before StrEnum
    LARGE = "gpt-4.1"


def test_a_member_of_an_enumeration_leaves_no_trace_in_what_is_remembered() -> None:
    catalogue = load_catalogue(SYSTEM_FILE)

    catalogue.resolve("system.openai", Model.LARGE, NOW)

    version = catalogue.resolve("system.openai", "gpt-4.1", NOW)
    assert version is not None
    assert f"{version.resource}" == "gpt-4.1"


def test_the_categories_are_the_providers() -> None:
    named = {name: value for name, value in vars(PayiCategories).items() if not name.startswith("_")}

    assert system_catalogue().categories() == sorted(named.values())


@pytest.mark.parametrize(
    ("category", "resource"),
    [
        ("system.openai", "gpt-4o"),
        ("system.anthropic", "claude-opus-4-8"),
        ("system.google.vertex", "gemini-2.5-pro"),
    ],
)
def test_the_models_that_the_guides_name_are_listed_priced_and_capped(category: str, resource: str) -> None:
    version = found(category, resource)

    assert resource in system_catalogue().resources(category)
    assert version.units["text"].input > 0
    assert version.units["text"].output > version.units["text"].input
    assert isinstance(version.max_input_units, int)
    assert isinstance(version.max_output_units, int)


def test_every_listed_resource_resolves_to_a_version_of_its_name() -> None:
    catalogue = system_catalogue()
    for category in catalogue.categories():
        resources = catalogue.resources(category)
        assert resources == sorted(set(resources))
        for resource in resources:
            assert {version.resource for version in catalogue.versions(category, resource)} == {resource}


def test_every_token_unit_of_a_text_model_has_a_price() -> None:
    """Decision 1: nothing that a provider bills is silently free, and nothing needs a fallback."""
    suffixes = [large + tier for large in ("", LARGE_CONTEXT) for tier in ("", *TIERS)]
    for version in every_version(system_catalogue()):
        if "text" not in version.units:  # billed by the second or the character
            continue
        if version.resource == "openrouter/free":
            assert {price.input + price.output for price in version.units.values()} == {Decimal(0)}
            continue
        for unit in TOKEN_UNITS - {"reasoning"}:
            assert all(version.units[unit + suffix].input > 0 for suffix in suffixes), (version.resource, unit)
        if version.units["text"].output > 0:  # embeddings have no output
            for unit in ("text", "reasoning", "audio", "image", "video"):
                assert all(version.units[unit + suffix].output > 0 for suffix in suffixes), (version.resource, unit)


def test_units_without_a_price_of_their_own_cost_what_their_parent_costs() -> None:
    units = found("system.openai", "gpt-4o-2024-08-06").units

    assert units["reasoning"].output == units["text"].output
    assert units["vision"].input == units["text_cache_write_1h"].input == units["text"].input
    assert units["audio_cache_read"].input == units["text_cache_read"].input == units["text"].input / 2
    assert units["text_large_context"] == units["text"]
    assert units["text_flex"] == units["text"]
    assert units["vision_priority"].input == units["text_priority"].input == Decimal("0.00000425")
    assert units["text_cache_read_batch"] == units["text_cache_read"]


def test_large_context_has_prices_and_a_threshold() -> None:
    version = found("system.google.vertex", "gemini-2.5-pro")

    assert version.large_context_threshold == 200_000
    assert per_mtok(version) == (Decimal("1.25"), Decimal(10))
    assert per_mtok(version, "text_large_context") == (Decimal("2.5"), Decimal(15))
    assert per_mtok(version, "text_large_context_batch") == (Decimal("1.25"), Decimal("7.5"))
    assert version.units["reasoning_large_context"].output * MTOK == 15


def test_searches_are_priced_by_the_request_on_the_output_side() -> None:
    assert found("system.anthropic", "claude-sonnet-4-5").units["web_search_request"] == UnitPrice(
        output=Decimal("0.01")
    )


@pytest.mark.parametrize(
    ("release", "before", "after", "text_before", "text_after"),
    [
        ("2024-08-06", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", ("5", "15"), ("2.5", "10")),
        ("2024-11-20", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", ("2.5", "10"), ("2.5", "10")),
    ],
)
def test_gpt_4o_moves_to_the_next_dated_version_at_midnight_utc(
    release: str, before: str, after: str, text_before: tuple[str, str], text_after: tuple[str, str]
) -> None:
    midnight = datetime.fromisoformat(release).replace(tzinfo=UTC)

    old = found("system.openai", "gpt-4o", midnight - timedelta(microseconds=1))
    new = found("system.openai", "gpt-4o", midnight)

    assert (old.resource, old.aliased_resource, old.end) == ("gpt-4o", before, midnight)
    assert (new.resource, new.aliased_resource, new.start) == ("gpt-4o", after, midnight)
    assert old.resource_id != new.resource_id
    assert per_mtok(old) == tuple(map(Decimal, text_before))
    assert per_mtok(new) == tuple(map(Decimal, text_after))
    assert found("system.openai", after, midnight).units == new.units


def test_nothing_is_priced_before_its_first_start() -> None:
    release = datetime(2024, 5, 13, tzinfo=UTC)

    assert system_catalogue().resolve("system.openai", "gpt-4o", release) is not None
    assert system_catalogue().resolve("system.openai", "gpt-4o", release - timedelta(microseconds=1)) is None
    assert system_catalogue().resolve("system.openai", "gpt-4", datetime(2019, 12, 31, tzinfo=UTC)) is None


def test_a_price_change_of_the_source_is_a_version() -> None:
    first, second = system_catalogue().versions("system.openai", "o3")

    assert first.end == second.start == datetime(2025, 6, 10, tzinfo=UTC)
    assert (first.start, second.end) == (datetime(2020, 1, 1, tzinfo=UTC), None)
    assert per_mtok(first) == (Decimal(10), Decimal(40))
    assert per_mtok(second) == (Decimal(2), Decimal(8))


@pytest.mark.parametrize(
    ("category", "name", "model"),
    [
        ("system.openai", "gpt-4.1-2025-04-14", "gpt-4.1"),
        ("system.openai", "gpt-5-20250807", "gpt-5"),
        ("system.openai", "ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-4o-mini"),
        ("system.openai", "GPT-4.1", "gpt-4.1"),
        ("system.anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("system.azureopenai", "o3", "o3-2025-04-16"),
        ("system.azureopenai", "gpt-35-turbo", "gpt-3.5-turbo"),
        ("system.azure", "claude-opus-4-8-20260101", "claude-opus-4-8"),
        ("system.google.vertex", "google.gemini-2.5-pro", "gemini-2.5-pro"),
        ("system.google.vertex", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("system.google.vertex", "google.models/gemini-2.5-pro-preview-06-05", "gemini-2.5-pro"),
        ("system.google.vertex", "publishers/google/models/gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("system.google.vertex", "anthropic.claude-opus-4-8", "claude-opus-4-8"),
        ("system.google.vertex", "anthropic.claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("system.google.vertex", "claude-sonnet-5-20260101", "claude-sonnet-5"),
        ("system.aws.bedrock", "us.meta.llama3-3-70b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0"),
        ("system.aws.bedrock", "apac.amazon.nova-2-lite-v1:0", "regional.amazon.nova-2-lite-v1:0"),
    ],
)
def test_other_names_of_a_model_resolve_to_its_prices(category: str, name: str, model: str) -> None:
    version, own = found(category, name), found(category, model)

    assert (version.resource, version.aliased_resource) == (name, model)
    assert (version.resource_id, version.units, version.start) == (own.resource_id, own.units, own.start)
    assert name not in system_catalogue().resources(category)


SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (SONNET, f"regional.{SONNET}"),
        (f"us.{SONNET}", f"regional.{SONNET}"),
        (f"eu.{SONNET}", f"regional.{SONNET}"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}", f"regional.{SONNET}"),
        (f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{SONNET}", f"regional.{SONNET}"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.{SONNET}", f"global.{SONNET}"),
    ],
)
def test_bedrock_ids_and_arns_resolve_to_the_model_in_them(name: str, entry: str) -> None:
    """Regional endpoints cost a tenth more than the global one, so the region is not simply cut off."""
    version = found("system.aws.bedrock", name)

    assert version.aliased_resource == entry
    assert per_mtok(version)[0] == (3 if entry.startswith("global.") else Decimal("3.3"))


def test_both_spellings_on_vertex_cost_the_same() -> None:
    """R-34."""
    units = {"text": (1000, 100), "reasoning": (0, 50)}

    costs = {price(found("system.google.vertex", n), units).total for n in ("google.gemini-2.5-pro", "gemini-2.5-pro")}

    assert costs == {Decimal("0.00275")}


def test_both_azure_categories_hold_azure_models_and_those_of_others_that_azure_sells() -> None:
    catalogue = system_catalogue()

    assert catalogue.resources("system.azure") == catalogue.resources("system.azureopenai")
    assert {"phi-4", "gpt-4o", "claude-opus-4-8", "grok-3", "kimi-k2.5"} <= set(catalogue.resources("system.azure"))
    assert catalogue.resolve("system.azure", "deepseek-reasoner", NOW) is None  # it asks prices of its own for those
    ids = {found(c, "gpt-4o").resource_id for c in ("system.openai", "system.azure", "system.azureopenai")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("category", "resource"),
    [
        ("system.openai", "no-such-model"),
        ("system.openai", ""),
        ("system.openai", "moderation"),
        ("system.openai", "system.unknown_model"),
        ("system.google.vertex", "gemma-4-31b-it"),
        ("system.aws.bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef"),
        ("system.nowhere", "gpt-4o"),
    ],
)
def test_what_is_unknown_or_unpriced_has_no_version(category: str, resource: str) -> None:
    catalogue = system_catalogue()

    assert catalogue.resolve(category, resource, NOW) is None
    assert catalogue.versions(category, resource) == []
    assert resource not in catalogue.resources(category)


def every_version(catalogue: Catalogue) -> list[ResourceVersion]:
    return [
        version
        for category in catalogue.categories()
        for resource in catalogue.resources(category)
        for version in catalogue.versions(category, resource)
    ]


def test_every_version_is_found_by_its_id() -> None:
    catalogue = system_catalogue()
    versions = every_version(catalogue)

    assert len({version.resource_id for version in versions}) == len(versions)
    assert all(catalogue.by_id(version.resource_id) == version for version in versions)
    assert catalogue.by_id("no-such-id") is None


def test_repeated_questions_are_answered_from_memory() -> None:
    assert found("system.openai", "gpt-4.1-2025-04-14") is found("system.openai", "gpt-4.1-2025-04-14")


def test_ids_do_not_depend_on_the_process_and_only_what_is_asked_for_is_read() -> None:
    code = (
        "import pathlib, sys; from datetime import datetime, UTC\n"
        "read, real = [], pathlib.Path.read_text\n"
        "pathlib.Path.read_text = lambda path, **how: read.append(path.name) or real(path, **how)\n"
        "from payi_instrument.engine import catalogue\n"
        "assert read == []\n"
        "version = catalogue.system_catalogue().resolve('system.openai', 'gpt-4o', datetime(2026, 1, 1, tzinfo=UTC))\n"
        "assert read == ['system.json', 'openai.json']\n"
        "assert 'genai_prices' not in sys.modules\n"
        "print(version.resource_id)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == found("system.openai", "gpt-4o", datetime(2026, 1, 1, tzinfo=UTC)).resource_id
