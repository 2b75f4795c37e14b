"""The description as one page to read: HTML with its styles inside, nothing to fetch and nothing to run."""

from __future__ import annotations

import json
import re
from html import escape
from typing import TYPE_CHECKING, Any

from payi_instrument.server.page_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payi_instrument.server.schemas import Json

_SCHEMAS = "#/components/schemas/"
_BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching {}",
    "minProperties": "at least {}",
    "maxItems": "(at most {})",
    "const": "{}",
    "default": "(default {})",
}


def page(description: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as an HTML page: operations by tag, then the schemas."""
    info = description["info"]
    shown = _Page(description)
    title = f"{_text(info['title'])} {_text(info['version'])}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<nav><h2><a href="#top">{title}</a></h2>{shown.contents()}</nav>
<main id="top">
<h1>{title}</h1>
{_paragraphs(info["description"])}
{shown.keys()}
{shown.operations()}
<section id="schemas"><h2>schemas</h2>{shown.schemas()}</section>
</main>
</body>
</html>
"""


def _text(text: object) -> str:
    """Escape a text, and set in type what stands between backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(str(text)))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.strip().split("\n\n") if part)


def _code(value: object) -> str:
    return f"<code>{escape(value if isinstance(value, str) else json.dumps(value))}</code>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _type(schema: Mapping[str, Any]) -> str:
    """Say what a schema takes."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return f'<a href="#schema.{escape(name)}">{escape(name)}</a>'
    given = schema.get("type", [])
    kinds: list[str] = [given] if isinstance(given, str) else given
    said = [_kind(kind, schema) for kind in kinds if kind != "null"]
    said += [words.format(_code(schema[name])) for name, words in _BOUNDS.items() if name in schema]
    if "propertyNames" in schema:
        said.append(f"with names matching {_code(schema['propertyNames']['pattern'])}")
    choices = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    parts = [" ".join(said), " or ".join(map(_type, choices)), *map(_type, schema.get("allOf", ()))]
    is_nullable = "null" in kinds or len(choices) < len(schema.get("anyOf", ()))
    return ", ".join(part for part in parts if part) + (", or null" if is_nullable else "")


def _kind(kind: str, schema: Mapping[str, Any]) -> str:
    if kind == "array":
        return f"array of {_inner(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_inner(schema['additionalProperties'])}"
    if "enum" in schema:
        return " or ".join(map(_code, schema["enum"]))
    return "date and time" if schema.get("format") == "date-time" else kind


def _inner(schema: Mapping[str, Any]) -> str:
    said = _type(schema)
    return f"({said})" if " or " in said else said


def _name(name: str, *, required: bool) -> str:
    return f"{_code(name)}{' <b>*</b>' if required else ''}"


def _members(schema: Mapping[str, Any]) -> str:
    """Return the members of an object as a table."""
    required = schema.get("required", ())
    rows = [
        (_name(name, required=name in required), _type(member), _text(member.get("description", "")))
        for name, member in schema.get("properties", {}).items()
    ]
    return _table(("member", "type", ""), rows) if rows else ""


def _codes(schema: Mapping[str, Any]) -> list[str]:
    """Return the error codes that an answer may have."""
    members = [part.get("properties", {}).get("xproxy_error", {}) for part in schema.get("allOf", ())]
    return [code for member in members for code in member.get("properties", {}).get("code", {}).get("enum", ())]


class _Page:
    """The parts of the page of one document."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._components = description["components"]
        self._tags: dict[str, str] = {tag["name"]: tag["description"] for tag in description["tags"]}
        self._operations: dict[str, list[tuple[str, str, Json]]] = {name: [] for name in self._tags}
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                self._operations[operation["tags"][0]].append((method, path, operation))

    def contents(self) -> str:
        """Return links to every operation."""
        groups = [
            f'<li><a href="#tag.{escape(tag)}">{escape(tag)}</a><ul>{"".join(map(self._link, operations))}</ul></li>'
            for tag, operations in self._operations.items()
        ]
        return f'<ul>{"".join(groups)}<li><a href="#schemas">schemas</a></li></ul>'

    def _link(self, found: tuple[str, str, Json]) -> str:
        method, _, operation = found
        name = escape(operation["operationId"])
        short = name.removeprefix(f"{escape(operation['tags'][0])}.")
        return f'<li><a href="#{name}"><span class="{method}">{method}</span> {short}</a></li>'

    def keys(self) -> str:
        """Say how a key is sent."""
        ways = [
            f"the header {_code(way['name'])}" if way["type"] == "apiKey" else f"a {escape(way['scheme'])} token"
            for way in self._components["securitySchemes"].values()
        ]
        return f'<p class="key">A key is sent as {ways[0]}; where it says so, also as {" or ".join(ways[1:])}.</p>'

    def operations(self) -> str:
        """Return every operation, by tag."""
        return "".join(
            f'<section id="tag.{escape(tag)}"><h2>{escape(tag)}</h2>{_paragraphs(self._tags[tag])}'
            f"{''.join(self._operation(*found) for found in operations)}</section>"
            for tag, operations in self._operations.items()
        )

    def _operation(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        name = escape(operation["operationId"])
        notes = operation.get("description", "")
        if "security" in operation:
            notes = "Takes a bearer token too." if operation["security"] else "Needs no key."
        return (
            f'<article id="{name}"><h3><span class="{method}">{method}</span> <code>{escape(path)}</code>'
            f' <a href="#{name}">{name}</a></h3><p>{_text(operation["summary"])}. <small>{_text(notes)}</small></p>'
            f"{self._parameters(operation)}{self._body(operation)}{self._answers(operation)}</article>"
        )

    def _parameters(self, operation: Mapping[str, Any]) -> str:
        rows = [
            (
                _name(parameter["name"], required=parameter.get("required", False)),
                escape(parameter["in"]),
                _type(parameter["schema"]),
                _text(parameter["description"]),
            )
            for parameter in operation.get("parameters", ())
        ]
        return _table(("parameter", "in", "type", ""), rows) if rows else ""

    def _body(self, operation: Mapping[str, Any]) -> str:
        if "requestBody" not in operation:
            return ""
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        item = schema.get("items", schema)
        reference, *more = item.get("allOf", [item])
        found: Json = self._components["schemas"][reference["$ref"].removeprefix(_SCHEMAS)]
        required = [name for part in (found, *more) for name in part.get("required", ())]
        examples = ([example] if "items" in schema else example for example in found.get("examples", ()))
        shown = "".join(f"<pre>{escape(json.dumps(example, indent=2))}</pre>" for example in examples)
        return f"<h4>Body: {_type(schema)}</h4>{_members({**found, 'required': required})}{shown}"

    def _answers(self, operation: Mapping[str, Any]) -> str:
        rows: list[tuple[str, str, str]] = []
        for status, found in operation["responses"].items():
            answer = self._components["responses"][found["$ref"].split("/")[-1]] if "$ref" in found else found
            schemas: list[Json] = [content["schema"] for content in answer.get("content", {}).values()]
            parts = [part for schema in schemas for part in schema.get("anyOf", [schema])]
            said = (", ".join(map(_code, _codes(part))) or _type(part) for part in parts)
            rows.append((_code(status), _text(answer["description"]), ", or ".join(said)))
        return f"<h4>Answers</h4>{_table(('status', '', 'body, or code'), rows)}"

    def schemas(self) -> str:
        """Return every schema with its members."""
        return "".join(
            f'<article id="schema.{escape(name)}"><h3>{escape(name)}</h3>{_paragraphs(schema["description"])}'
            f"{_members(schema)}</article>"
            for name, schema in self._components["schemas"].items()
        )
