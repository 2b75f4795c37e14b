"""The rules of use cases, pure: names, versions, automatic limits, and what a KPI's score may be.

Source: wire-api sections 3.1 and 6, limits-semantics section 6.4.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from payi_instrument.engine.ledger import DOTS, is_name
from payi_instrument.engine.limits import Terms
from payi_instrument.ids import new_id
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_MAX_ID = 256
_MAX_KPI_NAME = 128
_MAX_DESCRIPTION = 2048
_MAX_LIMIT_NAME = 256
_LIMITS_OF_INSTANCES = UUID("6c0b0f52-54f3-5d0e-8a1b-9f5a3f1c7e24")
"""Namespace of automatic limits' ids. Changing it parts every deleted instance from its limit."""
_MAX_PERCENTAGE = 100
_HUGE = 1e300
"""Beyond every score; the largest float is a little more."""
AUTOMATIC = "Created automatically"
"""Description of a definition that an ingest made."""
_INVALID = "request_processing_error"


def check_name(name: str) -> str:
    """Return a use-case name if it is one; raise `ContractError` `invalid_use_case_name` otherwise."""
    if not _NAME.fullmatch(name):
        raise ContractError(
            "invalid_use_case_name", f"use_case_name: {name[:80]!r} is not 1 to 64 of A-Z a-z 0-9 . _ -"
        )
    if name in DOTS:
        raise ContractError("invalid_use_case_name", f"use_case_name: {name!r} is none that a URL can name")
    return name


def check_id(use_case_id: str) -> str:
    """Return an instance id if it can be stored and found again; raise `ContractError` otherwise."""
    if not 1 <= len(use_case_id) <= _MAX_ID:
        raise ContractError(_INVALID, f"use_case_id: {use_case_id[:40]!r} is not 1 to {_MAX_ID} characters")
    if use_case_id in DOTS:
        raise ContractError(_INVALID, f"use_case_id: {use_case_id!r} is none that a URL can name; choose another")
    return use_case_id


def check_description(text: str) -> str:
    """Return a description; raise `ContractError` `invalid_use_case_description` for a blank or a too long one."""
    if not text.strip() or len(text) > _MAX_DESCRIPTION:
        message = (
            f"description: {text[:40]!r} has {len(text)} characters, expected 1 to {_MAX_DESCRIPTION}, not only blanks"
        )
        raise ContractError("invalid_use_case_description", message)
    return text


def check_version(version: int | None, latest: int) -> int:
    """Return the version that an instance takes: the latest, unless another that exists is named."""
    if version is None:
        return latest
    if not 1 <= version <= latest:
        raise ContractError(_INVALID, f"use_case_version: {version} is not 1 to {latest}, the latest")
    return version


def config_text(terms: Terms) -> str:
    """Return the terms of a definition's automatic limits as stored text."""
    return json.dumps(
        {
            "max": f"{terms.max:f}",
            "limit_type": terms.limit_type,
            "threshold": f"{terms.threshold:f}",
            "properties": terms.properties,
        },
        sort_keys=True,
    )


def read_config(text: str) -> Terms:
    """Read what :func:`config_text` made."""
    stored: Mapping[str, Any] = json.loads(text)
    return Terms(Decimal(stored["max"]), stored["limit_type"], Decimal(stored["threshold"]), stored["properties"])


def limit_id(use_case_name: str, use_case_id: str) -> str:
    """Return the id of an instance's automatic limit, the same whenever the instance is made."""
    return str(uuid5(_LIMITS_OF_INSTANCES, f"{use_case_name}/{use_case_id}"))  # no name of a use case has a slash


def limit_name(use_case_name: str, use_case_id: str, is_taken: Callable[[str], bool]) -> str:
    """Return a free name for an instance's automatic limit: `<use_case_name>-<use_case_id>`, or one that ends in an id.

    Another limit may have the plain name: a user's own, or that of `a-b` and `c` where this one is of `a` and `b-c`.
    """
    plain = name = f"{use_case_name}-{use_case_id}"
    ending = limit_id(use_case_name, use_case_id)
    while len(name) > _MAX_LIMIT_NAME or is_taken(name):
        name = f"{plain[: _MAX_LIMIT_NAME - len(ending) - 1]}-{ending}"
        ending = new_id()
    return name


def check_kpi_name(name: str) -> str:
    """Return a KPI name if it is one; raise `ContractError` otherwise."""
    if not is_name(name, _MAX_KPI_NAME):
        message = (
            f"name: {name[:40]!r} is not 1 to {_MAX_KPI_NAME} characters without control characters or outer blanks,"
            " or it is one that no URL can name"
        )
        raise ContractError(_INVALID, message)
    return name


def check_goal(goal: float) -> float:
    """Return a goal if it is finite; raise `ContractError` otherwise."""
    if not math.isfinite(goal):
        raise ContractError(_INVALID, f"goal: {goal} is not a finite number")
    return goal


def check_score(kpi_type: str, score: float) -> float:
    """Return a score as stored; raise `ContractError` `invalid_kpi_score` for one that its type does not allow."""
    if not -_HUGE < score < _HUGE or not _allows(kpi_type, score):  # NaN is between nothing
        shown = repr(score) if -_HUGE < score < _HUGE else "what was sent"
        raise ContractError(
            "invalid_kpi_score", f"score: {shown} is not {_ALLOWED[kpi_type]}, as a {kpi_type} score is"
        )
    return float(score)


_ALLOWED: Mapping[str, str] = {
    "boolean": "true, false, 0 or 1",
    "number": "a number within 1e300",
    "percentage": "0 to 100",
    "likert5": "a whole number of 1 to 5",
    "likert7": "a whole number of 1 to 7",
    "likert10": "a whole number of 1 to 10",
}


def _allows(kpi_type: str, score: float) -> bool:
    if kpi_type == "boolean":
        return score in {0, 1}
    if isinstance(score, bool):
        return False
    if kpi_type == "percentage":
        return 0 <= score <= _MAX_PERCENTAGE
    return kpi_type == "number" or (score == int(score) and 1 <= score <= int(kpi_type.removeprefix("likert")))
