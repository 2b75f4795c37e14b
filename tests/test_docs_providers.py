"""docs/providers.md says what the code does, and every method of the SDK that bears a usage is in it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import openai
import openai.resources
import pytest
from pydantic import BaseModel

from payi_instrument.providers.openai import counting, hosts
from payi_instrument.providers.openai.counting import on_tier, units_of
from payi_instrument.providers.openai.endpoints import endpoint_of
from payi_instrument.providers.openai.sessions import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[1] / "docs" / "providers.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the tables under a heading."""
    section = re.split(r"^#+ ", PAGE.split(f"\n### {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in rows if not set(row[0]) <= {"-"} or not row[0]][1:]


def code(cell: str) -> str:
    found = re.match(r"`([^`]+)`", cell)
    assert found is not None, cell
    return found[1]


METHODS = {code(row[1]): row[2] for row in table("Methods") if "background" not in row[0] or "GET" in row[1]}


@pytest.mark.parametrize(("path", "event"), METHODS.items())
def test_a_method_makes_an_event_when_the_page_says(path: str, event: str) -> None:
    method, _, url = path.partition(" ")
    endpoint = endpoint_of(method.lower(), re.sub(r"\{(\w+)\}", r"\1_7", url))

    if endpoint is None:
        assert event == "none"
    elif not endpoint.reports_later:
        assert event == "always"
    else:
        assert event == ("if told" if endpoint is endpoint_of("post", "/whatever") else "once")


def resources() -> Iterator[Any]:
    """Every function of the SDK's resources."""
    for module in pkgutil.walk_packages(openai.resources.__path__, "openai.resources."):
        for _, resource in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if resource.__module__ == module.name:
                yield from (function for _, function in inspect.getmembers(resource, inspect.isfunction))


CALL = re.compile(r'self\._(get|post|put|patch)\(\s*(?:path_template\(\s*)?f?"([^"]+)"')


def answer_of(function: Any) -> Any:
    """Return what a function of the SDK is annotated to return; its other annotations take long to read."""
    names = vars(importlib.import_module(function.__module__))
    return get_type_hints(SimpleNamespace(__annotations__={"return": function.__annotations__["return"]}), names)[
        "return"
    ]


def bears_a_usage(answer: Any) -> bool:
    if inspect.isclass(answer) and issubclass(answer, BaseModel):
        return "usage" in answer.model_fields
    return any(bears_a_usage(part) for part in get_args(answer))


def test_every_method_that_bears_a_usage_is_on_the_page() -> None:
    found = set()
    for function in resources():
        for method, url in CALL.findall(inspect.getsource(function)):
            if bears_a_usage(answer_of(function)):
                found.add(f"{method.upper()} {url.partition('?')[0]}")

    assert len(found) > 15
    assert found - METHODS.keys() == set()


def test_the_page_names_every_session() -> None:
    named = {code(row[0]) for row in table("Sessions")}
    targets = {f"{target.module}.{target.name.rpartition('.')[0]}" for target in SESSIONS.receive}

    assert named == {target for target in targets if ".Async" not in target}
    assert {target.replace(".Async", ".") for target in targets} == named


COUNTS = dict.fromkeys(["audio_tokens", "image_tokens", "video_tokens"], 1)
EVERYTHING: dict[str, Any] = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 4, "cached_tokens_details": COUNTS, "cache_write_tokens": 1}
    | dict.fromkeys(COUNTS, 2),
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 1, **COUNTS},
    "server_tool_use": {"web_search_requests": 1},
}


def test_the_page_names_every_unit() -> None:
    counted = {**units_of(EVERYTHING), **units_of({"seconds": 1.5})}
    elsewhere = {"characters": (1, 0), "file_search_request": (0, 1)}
    rows = {code(row[0]): row for row in table("Units")}

    assert counted.keys() | elsewhere.keys() == rows.keys() == {*counted, *counting.UNTIERED}
    for unit, (counted_in, counted_out) in {**counted, **elsewhere}.items():
        _, told_in, told_out = rows[unit]
        assert (bool(told_in), bool(told_out)) == (counted_in > 0, counted_out > 0), unit


def test_the_page_names_every_tier() -> None:
    tiers = {code(row[0]): code(row[1]) for row in table("Tiers")}

    assert tiers == counting.TIERS
    for tier, suffix in tiers.items():
        assert on_tier({"text": (1, 0), "characters": (1, 0)}, tier) == {f"text{suffix}": (1, 0), "characters": (1, 0)}


def test_the_page_names_every_host() -> None:
    named = {code(row[0]): code(row[1]) for row in table("Hosts")}

    for host, category in named.items():
        assert hosts.category_of((), f"https://{host}/v1") == category
    assert {category for _, category in hosts.HOSTS} <= set(named.values())
