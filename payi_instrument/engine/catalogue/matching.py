"""Recognise a model by any of the names it goes by, with the source's match clauses kept as data.

A clause is an object with one member: `equals`, `starts_with`, `ends_with`, `contains` or `regex` with a text, `or` or
`and` with a list of clauses. Names come in lower case; a regular expression is searched for, not matched whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.engine.catalogue.document import Field

    Matcher: TypeAlias = Callable[[str], bool]


def read_clause(clause: Field) -> Matcher:
    """Turn a clause into the function that says whether a name in lower case is meant by it."""
    members = clause.members()
    if len(members) != 1:
        clause.refuse("an object with one member, such as {'starts_with': 'gpt-4o-'}")
    [(kind, value)] = members.items()
    if kind in {"or", "and"}:
        return _combined(kind, [read_clause(item) for item in value.items()])
    if kind == "regex":
        pattern = value.pattern()
        return lambda name: pattern.search(name) is not None
    return _literal(clause, kind, value.text().lower())


def _combined(kind: str, parts: list[Matcher]) -> Matcher:
    decide = any if kind == "or" else all
    return lambda name: decide(part(name) for part in parts)


def _literal(clause: Field, kind: str, text: str) -> Matcher:
    matchers: dict[str, Matcher] = {
        "equals": lambda name: name == text,
        "starts_with": lambda name: name.startswith(text),
        "ends_with": lambda name: name.endswith(text),
        "contains": lambda name: text in name,
    }
    if kind not in matchers:
        clause.refuse("one of equals, starts_with, ends_with, contains, regex, or, and")
    return matchers[kind]
