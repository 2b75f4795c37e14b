"""Every code block of both guides runs as a program and leaves in the ledger what it says. Rows S-A1 to S-B9."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from loopback_meter import LoopbackMeter

from payi_instrument import Payi

if TYPE_CHECKING:
    from payi_instrument.wire.categories import CategoryResourceResponse
    from payi_instrument.wire.limits import Limit
    from payi_instrument.wire.result import XproxyResult

GUIDES = Path(__file__).parents[1] / "examples" / "guides"

# SHA-256 of the code block as the guide prints it, with its import line `from payi import Payi`: the example is the guide's
# text, not one like it.
BLOCKS = {
    "custom_resource": "c90f12b2411fc49c89cd32c22128f53f00416096b2d04562f3fd5a05051ae071",
    "discover_models": "4423effc08384ce108fe50a18797baf2796dc393dbbcd736d3aa4dbbb74409e4",
    "enterprise_pricing": "df03f094703b2b2ec543ef9798513804aa29dcdbeb63c87e61d23a9340d33646",
    "historical_data": "7e7ad3ebc14898ed0592444afd718a59243ac7c74a8387303d4244ab85942437",
    "layered_budgets": "008f2444e967072558276f48b3868c33469239c3812a9455a38c7114df71adf0",
    "monthly_budget": "335d9b3435de7936d70bb83368f0026d490c0cada91aefd192decd101b051c47",
    "multi_model_application": "9507ba3fc2ab13c5e0bc3d07ac4a0249bb0fc0e606bdf972eca17d1372815328",
    "pagination": "4d857f8870580ff7e681840ef8a65e7c4cabe45972c01b37079c1c02cb8ab145",
    "resource_lifecycle": "1e7ed759db8ea9487094de6eb0a2b0de437686ff9e795a69ed679b1b0d857935",
}
FLAT = {"layered_budgets", "monthly_budget"}
"""Blocks of the limits guide, whose copy has lost its indentation: their white space is folded to single spaces."""
FRAGMENTS = {"historical_data", "pagination"}
"""Blocks that use a client which the guide made before; the example makes it."""

PRICED = {"text": {"input_price": 0.01, "output_price": 0.03}}


@dataclass
class Ledger:
    """A ledger file, the programs that are run on it, and what it holds."""

    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'guides.db'}"

    def run(self, guide: str, *edits: tuple[str, str], **settings: str) -> list[str]:
        """Return the lines that a guide's example prints, run as it stands or as a copy with these edits."""
        return execute(edited(guide, self.folder, *edits) if edits else example(guide), self.folder, self.url, settings)

    def open(self) -> Payi:
        return Payi(base_url=self.url)

    def results(self) -> list[XproxyResult]:
        """Return every event's result, as they came; the meter lists no events, so their ids are read from the file."""
        with closing(sqlite3.connect(self.folder / "guides.db")) as file:
            ids = [row[0] for row in file.execute("SELECT request_id FROM events ORDER BY rowid")]
        with self.open() as client:
            return [client.requests.request_id.result.retrieve(request_id).xproxy_result for request_id in ids]

    def resources(self, category: str) -> dict[str, CategoryResourceResponse]:
        with self.open() as client:
            return {resource.resource: resource for resource in client.categories.list_resources(category)}

    def versions(self, category: str, resource: str) -> list[str]:
        with self.open() as client:
            return [version.resource_id for version in client.categories.resources.list(resource, category=category)]

    def limits(self) -> dict[str, Limit]:
        with self.open() as client:
            return {limit.limit_id: limit for limit in client.limits.list()}

    def categories(self) -> list[str]:
        with self.open() as client:
            return [category.category for category in client.categories.list()]


def example(guide: str) -> Path:
    return GUIDES / f"{guide}.py"


def edited(guide: str, folder: Path, *edits: tuple[str, str]) -> Path:
    """Return a copy of an example with each text, which is found there once, replaced."""
    source = example(guide).read_text(encoding="utf-8")
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    copy = folder / f"{guide}.py"
    copy.write_text(source, encoding="utf-8")
    return copy


def execute(program: Path, folder: Path, url: str | None, settings: dict[str, str] | None = None) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PAYI_", "OPENAI_"))}
    if url is not None:
        environment["PAYI_BASE_URL"] = url
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**environment, "PYTHONUTF8": "1", **(settings or {})},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


@pytest.mark.parametrize("guide", BLOCKS)
def test_every_code_block_of_the_guides_is_an_example_word_for_word(guide: str) -> None:
    source = example(guide).read_text(encoding="utf-8")
    introduction = ast.parse(source).body[0]
    assert isinstance(introduction, ast.Expr)
    code = "\n".join(source.splitlines()[introduction.end_lineno :]).strip()
    if guide in FRAGMENTS:
        making = "from payi_instrument import Payi\n\nclient = Payi()\n"
        assert code.startswith(making)
        code = code.removeprefix(making)
    else:
        assert code.count("from payi_instrument import Payi\n") == 1
    block = code.replace("from payi_instrument import Payi\n", "from payi import Payi\n").strip("\n")
    if guide in FLAT:
        block = " ".join(block.split())
    assert sha256(block.encode()).hexdigest() == BLOCKS[guide]


def test_there_is_no_example_beside_the_guides() -> None:
    assert {program.stem for program in GUIDES.glob("*.py")} == set(BLOCKS)


def test_s_a1_discovery_finds_gpt_4o_on_the_second_walk_through_one_listing(ledger: Ledger) -> None:
    printed = ledger.run("discover_models")

    assert "Category: system.openai" in printed
    listed = [line.removeprefix("  Resource: ") for line in printed if line.startswith("  Resource: ")]
    resources = ledger.resources("system.openai")
    assert listed == [*resources, "gpt-4o"]
    found = resources["gpt-4o"]
    text = found.units["text"]
    assert all(isinstance(number, float) for number in (text.input_price, text.output_price))
    assert isinstance(found.max_input_units, int)
    assert printed[-5:] == [
        "Checking details for OpenAI 'gpt-4o' resource:",
        "  Resource: gpt-4o",
        f"    Input Price: ${text.input_price} per token",
        f"    Output Price: ${text.output_price} per token",
        f"    Max Input Tokens: {found.max_input_units}",
    ]


def test_s_a2_the_commented_call_lists_the_versions_of_one_resource(ledger: Ledger) -> None:
    comment = """\
# resource_versions = client.categories.resources.list(
#     resource="gpt-4o",
#     category="system.openai"
# )
"""
    call = comment.replace("# ", "")
    show = "for version in resource_versions:\n    print(version.resource, version.resource_id)\n"
    printed = ledger.run("discover_models", (comment, call + show))

    versions = ledger.versions("system.openai", "gpt-4o")
    assert len(versions) >= 1
    assert all(versions)
    assert printed[-len(versions) :] == [f"gpt-4o {resource_id}" for resource_id in versions]


def test_s_a3_a_custom_resource_is_priced_as_soon_as_it_is_created(ledger: Ledger) -> None:
    printed = ledger.run("custom_resource")

    assert printed == [f"Created resource with ID: {ledger.versions('vector-db', 'qdrant-embeddings')[0]}"]
    (result,) = ledger.results()
    assert result.cost is not None
    assert result.cost.total.base_exact == Decimal("0.001125")
    assert result.cost.input.base_exact == Decimal("0.001125")
    assert result.user_id == "customer_abc123"
    assert result.unknown_units is None


def test_s_a3_the_answer_echoes_the_user_and_the_cost(ledger: Ledger) -> None:
    call = "track_vector_db_usage(query_text_length=450)"
    show = f"result = {call}.xproxy_result\nprint(result.user_id, result.cost.total.base)"
    assert ledger.run("custom_resource", (call, show))[1:] == ["customer_abc123 0.001125"]


def test_s_a4_zero_is_stored_as_zero(ledger: Ledger) -> None:
    ledger.run("custom_resource")

    created = ledger.resources("vector-db")["qdrant-embeddings"]
    assert (created.max_input_units, created.max_output_units) == (10_000, 0)
    assert created.units["text"].output_price == 0
    (result,) = ledger.results()
    assert result.cost is not None
    assert result.cost.output.base_exact == 0


def test_s_a5_negotiated_prices_hold_from_the_date_given(ledger: Ledger) -> None:
    assert ledger.run("enterprise_pricing") == []

    created = ledger.resources("enterprise-openai")["gpt-4-enterprise"]
    assert created.start_timestamp == datetime(2024, 1, 1, tzinfo=UTC)
    text = created.units["text"]
    assert (text.input_price_exact, text.output_price_exact) == (Decimal("0.000005"), Decimal("0.000015"))
    assert (created.max_input_units, created.max_output_units) == (128_000, 128_000)


def create_models(ledger: Ledger, *models: str) -> None:
    with ledger.open() as client:
        for model in models:
            client.categories.resources.create(model, category="my-custom-models", units=PRICED)
    assert set(ledger.resources("my-custom-models")) == set(models)


DEPRECATED = ("old-model-v1", "deprecated-embedding-model")


def test_s_a6_resources_are_removed_one_at_a_time(ledger: Ledger) -> None:
    create_models(ledger, *DEPRECATED)
    *removed, category = ledger.run("resource_lifecycle")

    assert removed == [f"Successfully removed {model}" for model in DEPRECATED]
    assert category.startswith("Could not remove category: Error code: 404"), "method 1 left something to method 2"
    assert "my-custom-models" not in ledger.categories()
    assert ledger.resources("my-custom-models") == {}


def test_s_a7_what_is_gone_is_reported_and_not_raised(ledger: Ledger) -> None:
    create_models(ledger, *DEPRECATED)
    ledger.run("resource_lifecycle")

    again = ledger.run("resource_lifecycle")
    beginnings = [f"Could not remove {name}: Error code: 404" for name in (*DEPRECATED, "category")]
    assert [line[: len(start)] for line, start in zip(again, beginnings, strict=True)] == beginnings


def test_s_a8_a_category_is_removed_with_all_its_resources(ledger: Ledger) -> None:
    create_models(ledger, *DEPRECATED)
    ledger.run("resource_lifecycle")
    create_models(ledger, "one", "two", "three")
    nothing_for_method_1 = ('["old-model-v1", "deprecated-embedding-model"]', "[]")
    printed = ledger.run("resource_lifecycle", nothing_for_method_1)

    assert printed == ["Successfully removed the entire category and all its resources"]
    assert "my-custom-models" not in ledger.categories()


STACK = ("text-embeddings", "vector-search", "rag-completion-model")
TRACKED = [
    "AI resource stack configured successfully",
    "Tracked complete RAG pipeline usage for user user_12345",
]


def test_s_a9_a_pipeline_of_three_models_is_set_up_and_tracked(ledger: Ledger) -> None:
    assert ledger.run("multi_model_application") == TRACKED

    assert set(ledger.resources("company-ai-stack")) == set(STACK)
    results = ledger.results()
    assert [result.user_id for result in results] == ["user_12345"] * 3
    versions = [ledger.versions("company-ai-stack", resource) for resource in STACK]
    assert [[result.resource_id] for result in results] == versions
    # the query has 47 characters, the chunks 96, 96 and 129, the response 467; a token is four of them
    query, context, response = 11, 24 + 24 + 32, 116
    assert [result.cost.total.base_exact for result in results if result.cost] == [
        query * Decimal("0.000001"),
        query * Decimal("0.00000025"),
        (query + context) * Decimal("0.000006") + response * Decimal("0.000012"),
    ]


def test_s_a10_setting_up_again_makes_no_second_version(ledger: Ledger) -> None:
    ledger.run("multi_model_application")
    once = [ledger.versions("company-ai-stack", resource) for resource in STACK]
    assert ledger.run("multi_model_application") == TRACKED

    assert [ledger.versions("company-ai-stack", resource) for resource in STACK] == once
    assert [len(versions) for versions in once] == [1, 1, 1]
    assert [result.user_id for result in ledger.results()] == ["user_12345"] * 6


def test_s_a11_events_of_the_past_are_accepted_from_the_start_on(ledger: Ledger) -> None:
    assert ledger.run("historical_data") == []

    created = ledger.resources("custom.my_company")["proprietary-llm-v1"]
    assert created.start_timestamp == datetime(2024, 1, 1, tzinfo=UTC)
    with ledger.open() as client:
        result = client.ingest.units(
            category="custom.my_company",
            resource="proprietary-llm-v1",
            units={"text": {"input": 100, "output": 10}},
            event_timestamp=datetime(2024, 2, 1, tzinfo=UTC),
        ).xproxy_result
    assert result.resource_id == created.resource_id
    assert result.cost is not None
    assert result.cost.total.base_exact == Decimal("0.015")


def test_s_a12_loops_walk_through_all_pages(ledger: Ledger) -> None:
    categories = [f"category-{number:03}" for number in range(250)]
    resources = [f"resource-{number:03}" for number in range(250)]
    with ledger.open() as client:
        for category in categories:
            client.categories.resources.create("model", category=category, units=PRICED)
        for resource in resources:
            client.categories.resources.create(resource, category="large", units=PRICED)

    program = edited("pagination", ledger.folder, ('category="system.openai"', 'category="large"'))
    with LoopbackMeter(ledger.url) as meter:
        printed = execute(program, ledger.folder, meter.url, {"PAYI_API_KEY": "key"})
    listed = [line.removeprefix("Category: ") for line in printed if line.startswith("Category: ")]
    assert sorted(listed) == sorted(ledger.categories())
    assert len(set(listed)) == len(listed)
    assert {*categories, "large", "system.openai"} <= set(listed)
    assert sorted(line.removeprefix("Resource: ") for line in printed[len(listed) :]) == resources
    assert meter.paths == ["GET /api/v1/categories"] * 3 + ["GET /api/v1/categories/large/resources"] * 3


def test_s_a12_the_pages_of_the_embedded_meter_are_walked_too(ledger: Ledger) -> None:
    printed = ledger.run("pagination")

    assert printed == [
        *(f"Category: {category}" for category in ledger.categories()),
        *(f"Resource: {resource}" for resource in ledger.resources("system.openai")),
    ]
    with ledger.open() as client:
        assert client.categories.list_resources("system.openai").has_next_page()


def test_s_b1_a_monthly_budget_is_created_where_the_env_file_says(ledger: Ledger) -> None:
    (ledger.folder / ".env").write_text(f"PAYI_BASE_URL={ledger.url}\n")
    assert execute(edited("monthly_budget", ledger.folder), ledger.folder, url=None) == []

    (limit,) = ledger.limits().values()
    assert (limit.limit_name, limit.limit_id) == ("Monthly Budget", "monthly_allow_budget")
    assert (limit.max, limit.limit_type, limit.threshold) == (100, "allow", 0.80)
    cost = limit.totals.cost
    assert (cost.input.base, cost.output.base, cost.total.base, limit.totals.requests.total) == (0, 0, 0, 0)


def test_s_b2_creating_the_same_budget_again_is_no_error(ledger: Ledger) -> None:
    ledger.run("monthly_budget")
    once = ledger.limits()
    assert ledger.run("monthly_budget") == []
    assert ledger.limits() == once


def created(name: str, money: str, threshold: str) -> str:
    return f"Created new limit: '{name}' (${money}, allow type, {threshold} threshold)"


def existing(name: str) -> str:
    return f"Limit '{name}' already exists with identical parameters. Using existing limit."


DAILY, MONTHLY, PREMIUM = "Daily Safety Cap", "Monthly Budget", "Premium Model Usage"
PROCESSED = [
    "Processing request with 3 active limits for system.anthropic/claude-opus-4-8...",
    "Request processed successfully",
]


def test_s_b3_one_request_counts_against_three_budgets(ledger: Ledger) -> None:
    printed = ledger.run("layered_budgets")

    assert printed == [
        created(DAILY, "50.00", "90%"),
        created(MONTHLY, "1000.00", "80%"),
        created(PREMIUM, "300.00", "83%"),
        *PROCESSED,
    ]
    (result,) = ledger.results()
    assert set(result.limits) == {"daily", "monthly", "premium"}
    assert result.user_id == "user_abc123"
    assert [result.resource_id] == ledger.versions("system.anthropic", "claude-opus-4-8")
    assert result.cost is not None
    assert result.cost.total.base > 0
    limits = ledger.limits()
    assert {limit_id: (limit.limit_name, limit.max, limit.threshold) for limit_id, limit in limits.items()} == {
        "daily": (DAILY, 50, 0.90),
        "monthly": (MONTHLY, 1000, 0.80),
        "premium": (PREMIUM, 300, 0.83),
    }
    assert all(limit.totals.cost.total.base == result.cost.total.base for limit in limits.values())


def test_s_b4_budgets_that_are_there_are_used(ledger: Ledger) -> None:
    ledger.run("layered_budgets")
    assert ledger.run("layered_budgets") == [existing(DAILY), existing(MONTHLY), existing(PREMIUM), *PROCESSED]
    assert [limit.totals.requests.total for limit in ledger.limits().values()] == [2, 2, 2]


def test_s_b5_a_changed_max_is_updated_in_place(ledger: Ledger) -> None:
    ledger.run("layered_budgets")
    printed = ledger.run("layered_budgets", ("max_value=1000.0,", "max_value=1200.0,"))

    assert printed == [
        existing(DAILY),
        f"Found limit '{MONTHLY}' with matching immutable parameters but different max value.",
        " Updated max value: $1000.00 → $1200.00",
        existing(PREMIUM),
        *PROCESSED,
    ]
    monthly = ledger.limits()["monthly"]
    assert (monthly.max, monthly.totals.requests.total) == (1200, 2)


def test_s_b6_a_changed_threshold_makes_a_new_limit_under_the_same_id(ledger: Ledger) -> None:
    ledger.run("layered_budgets")
    printed = ledger.run("layered_budgets", ("threshold_value=0.90\n", "threshold_value=0.80\n"))

    assert printed == [
        f"Found limit '{DAILY}' with different immutable parameters.",
        " Existing: type=allow, threshold=90%",
        " Desired: type=allow, threshold=80%",
        " Deleting and recreating limit...",
        f" Deleted limit: {DAILY} (ID: daily)",
        f" {created(DAILY, '50.00', '80%')}",
        existing(MONTHLY),
        existing(PREMIUM),
        *PROCESSED,
    ]
    limits = ledger.limits()
    assert limits["daily"].threshold == 0.80
    assert {limit_id: limit.totals.requests.total for limit_id, limit in limits.items()} == {
        "daily": 1,  # it began at zero: the one request since is all it has
        "monthly": 2,
        "premium": 2,
    }
    first, second = (result.cost.total.base_exact for result in ledger.results() if result.cost)
    assert limits["daily"].totals.cost.total.base_exact == second
    assert limits["monthly"].totals.cost.total.base_exact == first + second


def test_s_b7_a_budget_that_is_used_up_is_shown(ledger: Ledger) -> None:
    printed = ledger.run("layered_budgets", ("max_value=50.0,", "max_value=0.0001,"))

    daily = ledger.limits()["daily"]
    spent = daily.totals.cost.total.base
    percent = spent / daily.max * 100
    assert percent > 100
    assert printed[4:] == [
        "Request blocked due to budget constraints",
        "Budget status:",
        f" ❌ {DAILY}: ${spent:.5f}/$0.00 ({percent:.1f}%) - LIMIT EXCEEDED",
    ]
    (result,) = ledger.results()
    assert {limit_id: limit.state for limit_id, limit in result.limits.items()} == {
        "daily": "overrun",
        "monthly": "ok",
        "premium": "ok",
    }


@pytest.mark.parametrize(
    ("model", "category", "applied"),
    [
        ("gpt-4o", "system.openai", {"daily", "monthly", "premium"}),
        ("gemini-2.5-pro", "system.google.vertex", {"daily", "monthly", "premium"}),
        ("gpt-4o-mini", "system.openai", {"daily", "monthly"}),
    ],
)
def test_s_b8_the_premium_budget_is_for_premium_models(
    ledger: Ledger, model: str, category: str, applied: set[str]
) -> None:
    printed = ledger.run("layered_budgets", ('model="claude-opus-4-8",', f'model="{model}",'))

    assert printed[3:] == [
        f"Processing request with {len(applied)} active limits for {category}/{model}...",
        "Request processed successfully",
    ]
    (result,) = ledger.results()
    assert set(result.limits) == applied
    assert result.resource_id in ledger.versions(category, model)
    counted = {limit_id for limit_id, limit in ledger.limits().items() if limit.totals.requests.total == 1}
    assert counted == applied


def test_s_b9_a_budget_of_the_same_name_keeps_its_id(ledger: Ledger) -> None:
    ledger.run("monthly_budget")
    printed = ledger.run("layered_budgets")

    assert printed[1:3] == [
        f"Found limit '{MONTHLY}' with matching immutable parameters but different max value.",
        " Updated max value: $100.00 → $1000.00",
    ]
    assert printed[-2:] == PROCESSED
    assert set(ledger.limits()) == {"daily", "monthly_allow_budget", "premium"}
    (result,) = ledger.results()
    assert set(result.limits) == {"daily", "monthly_allow_budget", "premium"}
