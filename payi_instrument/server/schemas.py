"""JSON Schemas of what operations take and answer: the wire's models, and what the engine asks beyond their types.

Source: wire-api sections 2 to 8; the bounds are those of engine/limits.py, engine/use_cases.py, engine/resources.py,
engine/intake.py and engine/appraise.py, and tests/server/test_bounds.py holds each of them against the engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from payi_instrument.wire.ingest import MAX_BULK, APIErrorBody
from payi_instrument.wire.message import Page
from payi_instrument.wire.operations import INGEST_BULK_UPSERT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from payi_instrument.wire.message import Operation
    from payi_instrument.wire.model import Model

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

NAME = r"^(?!\.{1,2}$)[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$"
"""A name without control characters and outer blanks; one or two dots are none, since no URL can name them."""
USE_CASE_NAME = r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$"
USE_CASE_NAME_OR_NONE = r"^(?!\.{1,2}$)[A-Za-z0-9._-]{0,64}$"
USE_CASE_ID_OR_NONE = r"^(?!\.{1,2}$)"
LIMIT_ID = r"^(?!\.{1,2}$)[!-+\--~]([ -+\--~]{0,126}[!-+\--~])?$"
"""1 to 128 printable ASCII characters without comma and outer blanks, but one or two dots."""
EVENT_ID = "^[!-~]{1,64}$"
TAG = "^[A-Za-z0-9_-]+$"
UNIT = "^[a-z0-9][a-z0-9_.-]{0,63}$"
NOT_BLANK = r"\S"
MAX_USER_ID = 16_384
MAX_NAME = 256

_LARGEST = 1.7976931348623157e308
_FINITE: Json = {"minimum": -_LARGEST, "maximum": _LARGEST}
_LIMIT_NAME: Json = {"minLength": 1, "maxLength": MAX_NAME, "pattern": NOT_BLANK}
_MAX: Json = {
    "description": "In USD, at most 12 decimal places.",
    "minimum": 1e-12,
    "exclusiveMaximum": 10**20,
}
_REPLACING: Json = {
    "properties": {"provider_response_id": {"type": "string", "minLength": 1}},
    "required": ["provider_response_id"],
}
_PRICE: Json = {"description": "In USD, at most 18 decimal places.", "minimum": 0, "exclusiveMaximum": 10**12}
_DESCRIPTION: Json = {"minLength": 1, "maxLength": 2048, "pattern": NOT_BLANK}
_PROPERTIES: Json = {"propertyNames": {"pattern": NOT_BLANK}}
_TERMS: Mapping[str, Json] = {
    "max": _MAX,
    "limit_type": {"description": "`allow` when left out."},
    "threshold": {
        "description": "The share of `max` from which the state is `exceeded`; 1, or nothing, means none.",
        "anyOf": [{"minimum": 0.75, "maximum": 0.99}, {"const": 1}],
    },
    "properties": _PROPERTIES,
}

_EVENT: Mapping[str, Json] = {
    "units": {"description": "What was used, by unit, such as `text`; nothing for a call that failed."},
    "resource": {"description": "null stores the event without a price."},
    "event_timestamp": {"description": "When the call was made, at most 5 minutes ahead; now when left out."},
    "http_status_code": {"description": "The provider's; 299 for a call that failed without one."},
    "provider_response_json": {"description": "An array has the text of each chunk of a stream."},
    "provider_response_id": {"description": "Without an event id it is counted once for its category and this."},
    "use_case_properties": {"description": "Merged into those of the instance; null removes one."},
}

MEMBERS: Mapping[str, Mapping[str, Json]] = {
    "IngestRequest": _EVENT,
    "CreateLimitBase": _TERMS,
    "CreateLimit": {
        **_TERMS,
        "limit_name": _LIMIT_NAME,
        "limit_id": {
            "description": "Printable ASCII without commas and outer blanks, at most 128 characters; made when left out.",
            "pattern": LIMIT_ID,
        },
    },
    "UpdateLimit": {"limit_name": _LIMIT_NAME, "max": _MAX},
    "PropertiesRequest": {"properties": _PROPERTIES},
    "ResourceRequest": {"units": {"propertyNames": {"pattern": UNIT}}},
    "UnitPriceRequest": {"input_price": _PRICE, "output_price": _PRICE},
    "CreateDefinition": {"name": {"pattern": USE_CASE_NAME}, "description": _DESCRIPTION},
    "UpdateDefinition": {"description": _DESCRIPTION},
    "CreateKpi": {"name": {"maxLength": 128, "pattern": NAME}, "description": _DESCRIPTION, "goal": _FINITE},
    "UpdateKpi": {"description": _DESCRIPTION, "goal": _FINITE},
    "ScoreRequest": {
        "score": {
            "description": "As the KPI's type has it; null clears the score.",
            "exclusiveMinimum": -1e300,
            "exclusiveMaximum": 1e300,
        }
    },
    "BulkIngestRequest": {
        **_EVENT,
        "limit_ids": {"description": "None twice.", "uniqueItems": True},
        "request_tags": {"items": {"type": "string", "pattern": TAG}},
        "user_id": {"maxLength": MAX_USER_ID},
        "use_case_id": {"maxLength": MAX_NAME, "pattern": USE_CASE_ID_OR_NONE},
        "use_case_name": {"pattern": USE_CASE_NAME_OR_NONE},
        "use_case_version": {"minimum": 1},
        "event_id": {"pattern": EVENT_ID},
        "unpriced": {"description": "`record` stores an event whose resource has no price.", "examples": ["record"]},
    },
}
"""What the engine asks of a body's members beyond what its models say, and what a reader asks."""

EXAMPLES: Mapping[str, Json] = {
    "IngestRequest": {
        "category": "system.openai",
        "resource": "gpt-4o-mini",
        "units": {"text": {"input": 1200, "output": 340}},
    },
    "BulkIngestRequest": {
        "category": "system.openai",
        "resource": "gpt-4o-mini",
        "units": {"text": {"input": 1200, "output": 340}},
        "user_id": "ada",
        "provider_response_id": "chatcmpl-1",
    },
    "CreateLimit": {"limit_name": "Nightly jobs", "limit_id": "nightly", "max": 25, "limit_type": "block"},
    "UpdateLimit": {"max": 50},
    "PropertiesRequest": {"properties": {"team": "search", "owner": None}},
    "ResourceRequest": {"units": {"text": {"input_price": 0.0000025, "output_price": 0.00001}}},
    "CreateDefinition": {"name": "summarise", "description": "One document becomes one paragraph"},
    "UpdateDefinition": {"logging_enabled": True},
    "CreateLimitBase": {"max": 0.5, "threshold": 0.9},
    "CreateKpi": {"name": "accepted", "description": "Kept as it is", "kpi_type": "boolean", "goal": 1},
    "UpdateKpi": {"goal": 0.9},
    "ScoreRequest": {"score": 1},
}
"""A body of each model that the engine takes."""


class Generator(GenerateJsonSchema):
    """Write schemas as the wire has them: decimals are numbers, a default of null goes without saying."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic's signature
        """Leave out titles that only repeat a member's name."""
        return False

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:  # noqa: ARG002
        """Say number, as every other JSON client sends it."""
        return {"type": "number"}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave out null."""
        return (
            self.generate_inner(schema["schema"]) if schema.get("default") is None else super().default_schema(schema)
        )

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Write null beside the other type where there is one."""
        inner = self.generate_inner(schema["schema"])
        kind = inner.get("type")
        if not isinstance(kind, str) or "enum" in inner:
            return super().nullable_schema(schema)
        return {**inner, "type": [kind, "null"]}

    def normalize_name(self, name: str) -> str:
        """Name `Page[Limit]` plainly."""
        return super().normalize_name(name).strip("_")


@dataclass(frozen=True, slots=True)
class Schemas:
    """The components of a description, and which of them an operation takes and answers."""

    components: dict[str, Json]
    refs: Mapping[tuple[type[object], Mode], Json]

    def body(self, operation: Operation[Any]) -> Json | None:
        """Return the schema of a request's body, None where there is none."""
        if operation.body is None:
            return None
        item = self.refs[operation.body, "validation"]
        if operation is INGEST_BULK_UPSERT:
            item = {"allOf": [item, _REPLACING]}
        return {"type": "array", "maxItems": MAX_BULK, "items": item} if operation.many else item

    def answer(self, operation: Operation[Any]) -> Json | None:
        """Return the schema of a successful reply's body, None for an empty one."""
        model = _answered(operation)
        if model is None:
            return None
        item = self.refs[model, "serialization"]
        return {"type": "array", "items": item} if get_origin(operation.answer) is list else item

    @property
    def error(self) -> Json:
        """Return the schema of the error envelope."""
        return self.refs[APIErrorBody, "serialization"]


def schemas_of(operations: Iterable[Operation[Any]]) -> Schemas:
    """Return the schemas of everything that operations take and answer, one for each model."""
    wanted: dict[tuple[type[object], Mode], None] = {(APIErrorBody, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            wanted[operation.body, "validation"] = None
        if (model := _answered(operation)) is not None:
            wanted[model, "serialization"] = None
    adapters: list[tuple[type[Any], Mode, TypeAdapter[Any]]] = [
        (kind, mode, TypeAdapter(kind)) for kind, mode in wanted
    ]
    refs, definitions = TypeAdapter.json_schemas(  # type: ignore[type-var]  # mypy does not see that classes are hashable
        adapters, ref_template="#/components/schemas/{model}", schema_generator=Generator
    )
    components: dict[str, Json] = definitions["$defs"]
    for name, schema in components.items():
        _finish(name, schema)
    return Schemas(dict(sorted(components.items())), {key: refs[key] for key in wanted})


def _finish(name: str, schema: Json) -> None:
    """Say what a model is for, what the engine asks beyond it, and what one looks like."""
    del schema["title"]  # its name
    said = str(Page.__doc__) if name.startswith("Page_") else schema["description"]
    schema["description"] = re.sub(r" \([a-z-]+ sections? [^)]*\)", "", said).replace("None", "null")
    for member, bound in MEMBERS.get(name, {}).items():
        schema["properties"][member].update(bound)
    if name in EXAMPLES:
        schema["examples"] = [EXAMPLES[name]]


def _answered(operation: Operation[Any]) -> type[Model] | None:
    """Return the model that a reply is made of."""
    answer: Any = operation.answer
    if get_origin(answer) is list:
        answer = get_args(answer)[0]
    model: type[Model] | None = None if answer is type(None) else answer
    return model
