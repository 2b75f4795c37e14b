"""One sentence for each operation, and one for each group of them: what the description says they do.

Source: wire-api sections 3 to 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGS: Mapping[str, str] = {
    "ingest": "Report what calls used: events are priced, counted on their limits and stored.",
    "limits": "Say how much may be spent.",
    "categories": "See the system's prices and keep prices of your own.",
    "use_cases": "Name what spend is for: definitions, their runs, and how well those did.",
    "requests": "Look up events that are stored.",
    "capabilities": "Ask what this meter speaks beyond the vendor's service.",
    "holds": "Set spend aside before a call is made.",
    "service": "Watch the service, and read what it is. No key is needed, except for its figures.",
}

SUMMARIES: Mapping[str, str] = {
    "ingest.units": "Ingest one event and return its cost and how its limits stand",
    "ingest.bulk": "Ingest up to 1000 events, each on its own: a bad one does not stop the others",
    "ingest.bulk_upsert": "Ingest events, or replace those of the same provider response",
    "limits.create": "Create a limit, or return the one that is the same already",
    "limits.list": "List limits by creation time",
    "limits.retrieve": "Return one limit with what was spent on it",
    "limits.update": "Change the name or the max of a limit",
    "limits.delete": "Delete a limit; its name and id are free at once",
    "limits.reset": "Close the running period of a limit and begin another",
    "limits.history": "List the closed periods of a limit",
    "limits.properties.update": "Merge properties into those of a limit; null removes one",
    "categories.list": "List categories by name",
    "categories.delete": "Delete all resources of a category and return them",
    "categories.list_resources": "List the resources of a category, each in its current version",
    "categories.resources.list": "List the versions of a resource by their start",
    "categories.resources.create": "Add a version of a resource, or return the one that is the same already",
    "categories.delete_resource": "Delete all versions of a resource and return them",
    "categories.resources.retrieve": "Return one version of a resource, a deleted one too",
    "categories.resources.delete": "Delete one version of a resource; the one before it is valid longer",
    "use_cases.definitions.list": "List use cases by creation time",
    "use_cases.definitions.create": "Create a use case at version 1, or return the one that is the same already",
    "use_cases.definitions.retrieve": "Return one use case",
    "use_cases.definitions.update": "Change the description or the logging flag of a use case",
    "use_cases.definitions.delete": "Delete a use case; what was recorded under it stays",
    "use_cases.definitions.version.increment": "Begin the next version of a use case, which new instances take",
    "use_cases.definitions.limit_config.create": "Say which limit every new instance of a use case gets",
    "use_cases.definitions.limit_config.delete": "Give new instances of a use case no limit",
    "use_cases.definitions.kpis.list": "List the KPIs of a use case by creation time",
    "use_cases.definitions.kpis.create": "Create a KPI, or return the one that is the same already",
    "use_cases.definitions.kpis.retrieve": "Return one KPI",
    "use_cases.definitions.kpis.update": "Change the description or the goal of a KPI",
    "use_cases.definitions.kpis.delete": "Delete a KPI; its scores stay",
    "use_cases.create": "Create an instance of a use case's latest version",
    "use_cases.retrieve": "Return one instance",
    "use_cases.delete": "Delete an instance and its scores; its limit and its events stay",
    "use_cases.properties.update": "Merge properties into those of an instance; null removes one",
    "use_cases.kpis.update": "Set an instance's score for a KPI; null clears it",
    "use_cases.kpis.list": "List the scores of an instance by the time they were first set",
    "requests.request_id.result.retrieve": "Return the result that an event had when it was ingested",
    "requests.request_id.properties.update": "Merge properties into those of an event; null removes one",
    "requests.response_id.result.retrieve": "Return the result of the latest event of a provider's response",
    "requests.response_id.properties.update": "Merge properties into those of the latest event of a provider's response",
    "capabilities": "List the extensions that this meter speaks",
    "holds.create": "Set aside what a call may cost at most, or refuse it",
    "holds.renew": "Keep a hold for longer",
    "holds.release": "Give back what a hold set aside",
}
