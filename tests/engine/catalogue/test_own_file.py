"""A price file of the user's own: what it may say, how a mistake in it is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

from payi_instrument.engine.catalogue import load_catalogue
from payi_instrument.engine.pricing import UnitPrice

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)

MODEL: dict[str, object] = {
    "description": "Model One",
    "match": {"or": [{"starts_with": "one-"}, {"and": [{"contains": "uno"}, {"regex": "\\d$"}]}, {"ends_with": "-1"}]},
    "max_input_units": 1000,
    "max_output_units": 100,
    "versions": [
        {"start": "2020-01-01T00:00:00Z", "units": {"text": {"input": "0.10", "output": "0.2"}}},
        {"start": "2024-06-01T00:00:00Z", "units": {"text": {"input": "0.3", "output": "0.4"}}},
    ],
}


def file_of(models: dict[str, object], tmp_path: Path, **category: object) -> Path:
    path = tmp_path / "prices.json"
    categories = {"mine": {"providers": ["p"], **category}}
    path.write_text(json.dumps({"categories": categories, "providers": {"p": models}}), encoding="utf-8")
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = file_of({"One": MODEL}, tmp_path, drop=["^.*/"], prefix="o")

    catalogue = load_catalogue(path)

    assert catalogue.resources("mine") == ["One"]
    first, second = catalogue.versions("mine", "One")
    assert (first.end, second.end) == (datetime(2024, 6, 1, tzinfo=UTC), None)
    assert first.units["text"] == UnitPrice(Decimal("0.1"), Decimal("0.2"))
    assert (second.max_input_units, second.max_output_units, second.description) == (1000, 100, "Model One")
    for name in ("one", "one-x", "xuno7", "x-1", "a/b/ONE", "ne"):
        version = catalogue.resolve("mine", name, NOW)
        assert version is not None, name
        assert version.aliased_resource == "One"
    assert catalogue.resolve("mine", "xuno", NOW) is None


def test_a_provider_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = file_of({"one": MODEL}, tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"))
    (tmp_path / "p.json").write_text(json.dumps(document["providers"]["p"]), encoding="utf-8")
    path.write_text(json.dumps({**document, "providers": {"p": "p.json"}}), encoding="utf-8")

    assert load_catalogue(path).versions("mine", "one") == load_catalogue(file_of({"one": MODEL}, tmp_path)).versions(
        "mine", "one"
    )


@pytest.mark.parametrize(("text", "error"), [(None, FileNotFoundError), ("{", ValueError), ('{"one": 1}', ValueError)])
def test_a_providers_file_that_is_missing_or_malformed_is_refused_by_name(
    text: str | None, error: type[Exception], tmp_path: Path
) -> None:
    path = file_of({}, tmp_path)
    path.write_text('{"categories": {"mine": {"providers": ["p"]}}, "providers": {"p": "p.json"}}', encoding="utf-8")
    if text is not None:
        (tmp_path / "p.json").write_text(text, encoding="utf-8")

    with pytest.raises(error, match=r"p\.json"):
        load_catalogue(path)


def test_the_first_model_that_matches_wins(tmp_path: Path) -> None:
    models: dict[str, object] = {name: {**MODEL, "match": {"contains": "x"}} for name in ("b", "a", "xy")}

    catalogue = load_catalogue(file_of(models, tmp_path))

    answers = [catalogue.resolve("mine", name, NOW) for name in ("xyz", "xy")]
    assert [version and version.aliased_resource for version in answers] == ["b", None]


def ids_of(model: dict[str, object], tmp_path: Path) -> list[str]:
    return [
        version.resource_id for version in load_catalogue(file_of({"one": model}, tmp_path)).versions("mine", "one")
    ]


def test_an_id_stands_for_name_start_and_prices(tmp_path: Path) -> None:
    ids = ids_of(MODEL, tmp_path)
    versions = cast("list[dict[str, object]]", MODEL["versions"])
    dearer = {**versions[0], "units": {"text": {"input": "0.11", "output": "0.2"}}}
    same = {**versions[0], "units": {"text": {"output": "0.20", "input": "0.1"}}}
    longer = {**versions[0], "large_context_threshold": 5}

    assert ids == ["4b19090f-7315-51ba-a1e1-5da8f377a2ee", "c2fa092e-4dd3-5689-aedb-ba64a7294ca2"]
    assert ids_of({**MODEL, "versions": [same, versions[1]], "max_output_units": 7}, tmp_path) == ids
    for changed in (dearer, longer):
        others = ids_of({**MODEL, "versions": [changed, versions[1]]}, tmp_path)
        assert others[0] != ids[0]
        assert others[1] == ids[1]


def test_an_alias_cuts_the_versions_of_what_it_stands_for(tmp_path: Path) -> None:
    one, two = (
        {
            "versions": [
                {"start": f"{start}T00:00:00Z", "units": {"text": {"input": amount}}} for start, amount in prices
            ]
        }
        for prices in (
            [("2020-01-01", "1"), ("2024-06-01", "2"), ("2025-06-01", "3")],
            [("2020-01-01", "7"), ("2024-12-01", "8"), ("2026-01-01", "9")],
        )
    )
    parts = [
        {"start": "2023-01-01T00:00:00+00:00", "resource": "one"},
        {"start": "2025-01-01T01:00:00+01:00", "resource": "two"},
    ]
    path = file_of({"one": one, "two": two, "it": {"alias_of": parts}}, tmp_path)

    versions = load_catalogue(path).versions("mine", "it")

    assert [
        (f"{version.start:%F}", version.aliased_resource, str(version.units["text"].input)) for version in versions
    ] == [
        ("2023-01-01", "one", "1"),
        ("2024-06-01", "one", "2"),
        ("2025-01-01", "two", "8"),
        ("2026-01-01", "two", "9"),
    ]


def test_a_model_may_cost_something_else_at_some_hours(tmp_path: Path) -> None:
    hours = [
        {"begin": "23:00", "end": "01:30", "units": {"text": {"input": "7"}}},
        {"begin": "12:00", "end": "13:00", "units": {"text": {"input": "8"}}, "large_context_threshold": 5},
    ]

    catalogue = load_catalogue(file_of({"one": {**MODEL, "hours": hours}}, tmp_path))

    first, second = catalogue.versions("mine", "one")
    prices = {}
    for time in ("23:00", "00:00", "01:29", "01:30", "11:59", "12:00", "13:00"):
        version = catalogue.resolve("mine", "one", datetime.fromisoformat(f"2026-01-01T{time}+00:00"))
        assert version is not None
        assert version.resource_id == second.resource_id != first.resource_id
        assert version.large_context_threshold == (5 if time == "12:00" else None)
        prices[time] = str(version.units["text"].input)
    assert prices == dict(zip(prices, ("7", "7", "7", "0.3", "0.3", "8", "0.3"), strict=True))
    eastern = catalogue.resolve("mine", "one", datetime.fromisoformat("2021-01-01T14:30+02:00"))
    assert eastern is not None
    assert (eastern.resource_id, str(eastern.units["text"].input)) == (first.resource_id, "8")
    assert ids_of(MODEL, tmp_path) != [first.resource_id, second.resource_id]


def test_units_that_are_not_stated_take_the_nearest_price(tmp_path: Path) -> None:
    stated = {
        "text": {"input": "1", "output": "2"},
        "text_cache_read": {"input": "3"},
        "text_cache_write": {"input": "4"},
        "audio": {"input": "5", "output": "6"},
        "audio_flex": {"input": "7"},
        "text_large_context": {"input": "8"},
        "search": {"output": "9"},
    }
    model = {"versions": [{"start": "2020-01-01T00:00:00Z", "units": stated}]}

    [version] = load_catalogue(file_of({"one": model}, tmp_path)).versions("mine", "one")

    sides = {unit: (int(price.input), int(price.output)) for unit, price in version.units.items()}
    assert {unit: sides[unit] for unit in stated} == {
        "text": (1, 2),
        "text_cache_read": (3, 0),
        "text_cache_write": (4, 0),
        "audio": (5, 6),
        "audio_flex": (7, 6),
        "text_large_context": (8, 2),
        "search": (0, 9),
    }
    expected = {
        "audio_cache_read": 3,
        "video_cache_read": 3,
        "text_cache_write_1h": 4,
        "vision": 1,
        "image": 1,
        "vision_large_context": 8,
        "audio_large_context": 5,
        "audio_large_context_flex": 7,
        "audio_batch": 5,
        "text_large_context_flex": 8,
        "text_cache_read_large_context_flex": 3,
        "video_flex": 1,
    }
    assert {unit: sides[unit][0] for unit in expected} == expected
    assert (sides["reasoning_flex"], sides["video_large_context_priority"]) == ((0, 2), (8, 2))
    assert "search_flex" not in sides


VERSION: dict[str, object] = {"start": "2020-01-01T00:00:00Z", "units": {"text": {"input": "1"}}}
HOURS: dict[str, object] = {"begin": "01:00", "end": "02:00", "units": {"text": {"input": "1"}}}


@pytest.mark.parametrize(
    ("model", "place", "value"),
    [
        ([], "/one", "[]"),
        ({}, "/one", "{}"),
        ({"versions": []}, "/one/versions", "[]"),
        ({"versions": [{**VERSION, "start": "2020-01-01"}]}, "/one/versions/0/start", "'2020-01-01'"),
        ({"versions": [{**VERSION, "start": "soon"}]}, "/one/versions/0/start", "'soon'"),
        ({"versions": [VERSION, VERSION]}, "/one/versions", "2020"),
        ({"versions": [{"start": "2020-01-01T00:00:00Z"}]}, "/one/versions/0", "2020"),
        ({"versions": [{**VERSION, "units": {}}]}, "/one/versions/0/units", "{}"),
        ({"versions": [{**VERSION, "units": {"text": {}}}]}, "/one/versions/0/units/text", "{}"),
        ({"versions": [{**VERSION, "units": {"text": {"in": "1"}}}]}, "/one/versions/0/units/text", "{'in': '1'}"),
        *(
            (
                {"versions": [{**VERSION, "units": {"text": {"input": wrong}}}]},
                "/one/versions/0/units/text/input",
                repr(wrong),
            )
            for wrong in ("-1", "1e3", "", "NaN", 1, None, "1" * 10, "0." + "1" * 25)
        ),
        *(
            ({"versions": [{**VERSION, "large_context_threshold": wrong}]}, "/large_context_threshold", repr(wrong))
            for wrong in (-1, True, "1", 1.5)
        ),
        *(
            ({"versions": [VERSION], "hours": [{**HOURS, "end": wrong}]}, "/one/hours/0/end", repr(wrong))
            for wrong in ("soon", "25:00", "10:00Z", "", 7)
        ),
        ({"versions": [VERSION], "hours": []}, "/one/hours", "[]"),
        ({"versions": [VERSION], "hours": [{**HOURS, "units": {}}]}, "/one/hours/0/units", "{}"),
        ({"versions": [VERSION], "max_input_units": -1}, "/one/max_input_units", "-1"),
        ({"versions": [VERSION], "description": ""}, "/one/description", "''"),
        ({"versions": [VERSION], "match": {"regex": "("}}, "/one/match/regex", "'('"),
        ({"versions": [VERSION], "match": {"like": "x"}}, "/one/match", "{'like': 'x'}"),
        ({"versions": [VERSION], "match": {"or": [{}]}}, "/one/match/or/0", "{}"),
        ({"alias_of": [{"start": "2020-01-01T00:00:00Z", "resource": "none"}]}, "/one/alias_of/0/resource", "'none'"),
        ({"alias_of": [{"start": "2020-01-01T00:00:00Z", "resource": "one"}]}, "/one/alias_of/0/resource", "'one'"),
    ],
)
def test_a_malformed_model_is_refused_with_its_place_and_value(
    model: object, place: str, value: str, tmp_path: Path
) -> None:
    path = file_of({"one": model}, tmp_path)

    with pytest.raises(ValueError, match="expected") as refused:
        load_catalogue(path)

    message = str(refused.value)
    assert message.startswith(f"{path}#/providers/p/one")
    assert f"{place} is {value}" in message or (f"{place} is " in message and value in message)


@pytest.mark.parametrize(
    ("category", "place"),
    [
        ({"providers": ["q"]}, "/providers/0 is 'q'"),
        ({"drop": ["("]}, "/drop/0 is '('"),
        ({"prefix": 1}, "/prefix is 1"),
    ],
)
def test_a_malformed_category_is_refused(category: dict[str, object], place: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        load_catalogue(file_of({"one": MODEL}, tmp_path, **category))

    assert f"prices.json#/categories/mine{place}" in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"categories": {}}'])
def test_a_file_that_is_no_catalogue_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=r"prices\.json"):
        load_catalogue(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_catalogue(tmp_path / "none.json")
