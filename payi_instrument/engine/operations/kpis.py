"""KPIs of definitions, and the scores of instances. Source: wire-api section 6."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payi_instrument.engine import use_cases as rules
from payi_instrument.engine.ledger import to_micros
from payi_instrument.engine.operations.call import Call, answers, check_same
from payi_instrument.engine.operations.use_cases import known_definition, known_instance
from payi_instrument.engine.pages import Listing
from payi_instrument.ids import new_id
from payi_instrument.wire import operations as table
from payi_instrument.wire import use_cases
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Page, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping


@answers(table.CREATE_KPI)
def create_kpi(call: Call) -> Reply:
    """Create a KPI, or return the one that is the same already."""
    body: use_cases.CreateKpi = call.body
    wanted = {
        "name": rules.check_kpi_name(body.name),
        "description": rules.check_description(body.description),
        "kpi_type": body.kpi_type,
        "goal": rules.check_goal(body.goal),
    }
    use_case_name = known_definition(call)["name"]
    existing = call.ledger.kpis.find(call.application, use_case_name, body.name)
    if existing is not None:
        check_same(existing, wanted, f"name: {body.name!r}", "kpi_already_exists")
        return Reply(200, _kpi(existing))
    now = datetime.now(UTC)
    owner = {"application": call.application, "use_case_name": use_case_name}
    new: dict[str, Any] = {**wanted, **owner, "created": now, "updated": now}
    call.ledger.kpis.add(new)
    return Reply(200, _kpi(new))


@answers(table.RETRIEVE_KPI)
def retrieve_kpi(call: Call) -> Reply:
    """Return one KPI."""
    return Reply(200, _kpi(_known_kpi(call)))


@answers(table.LIST_KPIS)
def list_kpis(call: Call) -> Reply:
    """List the KPIs of a definition by creation time, newest first unless asked otherwise."""
    query: table.KpiQuery = call.query
    filters = {"use_case_name": call.path["use_case_name"], "kpi_name": query.kpi_name}
    listing = Listing.asked_by(query, int, of=call.operation, filters=filters)
    name = known_definition(call)["name"]
    rows = call.ledger.kpis.page(call.application, name, listing, query.kpi_name)
    shown, cursor = listing.page(rows, lambda row: (to_micros(row["created"]), row["name"]))
    return Reply(200, Page[use_cases.Kpi](request_id=new_id(), cursor=cursor, items=[_kpi(row) for row in shown]))


@answers(table.UPDATE_KPI)
def update_kpi(call: Call) -> Reply:
    """Change description or goal of a KPI; name and type stay."""
    body: use_cases.UpdateKpi = call.body
    changes: dict[str, Any] = {}
    if body.description is not None:
        changes["description"] = rules.check_description(body.description)
    if body.goal is not None:
        changes["goal"] = rules.check_goal(body.goal)
    row = _known_kpi(call)
    if changes:
        changes["updated"] = datetime.now(UTC)
        call.ledger.kpis.change(call.application, row["use_case_name"], row["name"], changes)
    return Reply(200, _kpi({**row, **changes}))


@answers(table.DELETE_KPI)
def delete_kpi(call: Call) -> Reply:
    """Delete a KPI and return it; scores that were recorded stay."""
    row = _known_kpi(call)
    call.ledger.kpis.remove(call.application, row["use_case_name"], row["name"])
    return Reply(200, _kpi(row))


def _known_kpi(call: Call) -> Mapping[str, Any]:
    use_case_name, name = call.path["use_case_name"], call.path["kpi_name"]
    row = call.ledger.kpis.find(call.application, use_case_name, name)
    if row is None:
        known_definition(call)
        raise ContractError("kpi_not_found", f"kpi_name: {name[:80]!r} is no KPI of {use_case_name!r}; create it")
    return row


def _kpi(row: Mapping[str, Any]) -> use_cases.Kpi:
    return use_cases.Kpi(
        name=row["name"],
        description=row["description"],
        request_id=new_id(),
        kpi_type=row["kpi_type"],
        goal=row["goal"],
        created_timestamp=row["created"],
        updated_timestamp=row["updated"],
    )


@answers(table.UPDATE_SCORE)
def update_score(call: Call) -> Reply:
    """Set the score of an instance for a KPI; null clears it."""
    body: use_cases.ScoreRequest = call.body
    instance = known_instance(call)
    kpi = _known_kpi(call)
    values: dict[str, Any] | None = None
    if body.score is not None:
        now = datetime.now(UTC)
        score = rules.check_score(kpi["kpi_type"], body.score)
        values = {"kpi_type": kpi["kpi_type"], "score": score, "created": now, "updated": now}
    call.ledger.kpis.score({**_owner(instance), "kpi_name": kpi["name"]}, values)
    return Reply(200)


@answers(table.LIST_SCORES)
def list_scores(call: Call) -> Reply:
    """List the scores of an instance by the time they were first set, newest first unless asked otherwise."""
    query: table.KpiQuery = call.query
    filters = {**call.path, "kpi_name": query.kpi_name}
    listing = Listing.asked_by(query, int, of=call.operation, filters=filters)
    rows = call.ledger.kpis.scores(_owner(known_instance(call)), listing, query.kpi_name)
    shown, cursor = listing.page(rows, lambda row: (to_micros(row["created"]), row["kpi_name"]))
    items = [_score(row) for row in shown]
    return Reply(200, Page[use_cases.KpiScore](request_id=new_id(), cursor=cursor, items=items))


def _owner(instance: Mapping[str, Any]) -> dict[str, str]:
    return {name: instance[name] for name in ("application", "use_case_name", "use_case_id")}


def _score(row: Mapping[str, Any]) -> use_cases.KpiScore:
    return use_cases.KpiScore(
        kpi_name=row["kpi_name"],
        kpi_type=row["kpi_type"],
        score=row["score"],
        create_timestamp=row["created"],
        update_timestamp=row["updated"],
    )
