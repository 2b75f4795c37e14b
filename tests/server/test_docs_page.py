"""The page: everything of the description is on it, it is well-formed, and it fetches and runs nothing."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from payi_instrument.server.docs_page import page
from payi_instrument.server.openapi import description
from payi_instrument.server.schemas import EXAMPLES
from payi_instrument.wire.message import Operation
from payi_instrument.wire.operations import CREATE_LIMIT, OPERATIONS

DOCUMENT: dict[str, Any] = description(OPERATIONS)
HOSTILE = "<script>alert('&\"')</script>"


def read(document: dict[str, Any]) -> ET.Element:
    """Parse a page as XML, which forgives nothing."""
    return ET.fromstring(page(document))


PAGE = read(DOCUMENT)


def article(name: str) -> ET.Element:
    [found] = [element for element in PAGE.iter("article") if element.get("id") == name]
    return found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_shown_whole(operation: Operation[Any]) -> None:
    shown = DOCUMENT["paths"][operation.path][operation.method.lower()]
    text = "".join(article(operation.name).itertext())

    assert operation.method.lower() in text
    assert operation.path in text
    assert shown["summary"] in text
    for word in (*operation.errors, *shown["responses"], *(found["name"] for found in shown.get("parameters", ()))):
        assert word in text
    if operation.body is not None:
        assert all(
            member in text for member in DOCUMENT["components"]["schemas"][operation.body.__name__]["properties"]
        )
        assert all(name in text for name in EXAMPLES.get(operation.body.__name__, ()))


def test_every_schema_is_shown() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        text = "".join(article(f"schema.{name}").itertext())
        assert all(member in text for member in schema.get("properties", ()))


def test_what_needs_no_key_says_so() -> None:
    assert "Needs no key" in "".join(article("healthz").itertext())
    assert "bearer" in "".join(article("metrics").itertext())
    assert "scope admin." in "".join(article("limits.create").itertext())


def test_ids_are_unique_and_every_link_leads_to_one() -> None:
    ids = [element.get("id") for element in PAGE.iter() if element.get("id")]
    links = [element.get("href", "") for element in PAGE.iter("a")]

    assert len(set(ids)) == len(ids)
    assert {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= set(ids)


def test_nothing_is_fetched_or_run() -> None:
    assert not [element.tag for element in PAGE.iter() if element.tag in {"script", "link", "img", "iframe", "object"}]
    assert not [name for element in PAGE.iter() for name in element.attrib if name == "src" or name.startswith("on")]
    assert "url(" not in page(DOCUMENT)
    assert "@import" not in page(DOCUMENT)


def test_it_follows_the_readers_light_or_dark() -> None:
    assert "prefers-color-scheme: dark" in "".join(PAGE.find("head/style").itertext())  # type: ignore[union-attr]


def test_everything_is_escaped() -> None:
    plain: dict[str, Any] = description([CREATE_LIMIT])
    document = hostile(plain)

    text = "".join(read(document).itertext())
    assert text.count(HOSTILE) > 10
    assert "<script" not in page(document)


def hostile(part: Any, name: str = "") -> Any:
    """Put markup into every text of a description that is only shown."""
    if isinstance(part, dict):
        return {key: hostile(value, key) for key, value in part.items()}
    if isinstance(part, list):
        return [hostile(value, name) for value in part]
    is_shown = name in {"description", "summary", "title", "version", "pattern", "limit_name", "limit_id", "enum"}
    return HOSTILE if isinstance(part, str) and is_shown else part


def test_names_are_escaped_too() -> None:
    document: dict[str, Any] = description([CREATE_LIMIT])
    operation = document["paths"].pop(CREATE_LIMIT.path)["post"]
    document["paths"][f"/{HOSTILE}"] = {"post": operation | {"operationId": HOSTILE}}
    operation["responses"][HOSTILE] = operation["responses"].pop("201")
    operation["parameters"] = [{"name": HOSTILE, "in": HOSTILE, "description": "", "schema": {"type": "string"}}]
    document["components"]["schemas"]["CreateLimit"]["properties"][HOSTILE] = {"type": "string", "default": HOSTILE}

    assert "".join(read(document).itertext()).count(HOSTILE) >= 6
    assert "<script" not in page(document)
