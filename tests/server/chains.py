"""Chains of requests along the links of a description, each chain on a meter with a ledger of its own.

A program: a line to its output asks for such a meter, a line of its input has the meter's URL and a key.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition

CHAINS = 100
"""Chains that are begun at least; there are more until one came to every operation that a link leads to."""
MOST = 500
ROUND = settings(
    max_examples=25,
    stateful_step_count=12,
    phases=[Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def follow_links() -> None:
    """Make chains of requests; raises for an answer that is not as described, and for operations that none came to."""
    config = schemathesis.Config.from_path("settings.toml")
    schema = schemathesis.openapi.from_path("openapi.json", config=config)
    made = 0
    missed = linked(schema.raw_schema)
    wrong: list[Exception] = []

    class Chain(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            nonlocal made
            made += 1
            self.url, self.key = new_meter()

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": self.url, "headers": {"xProxy-api-key": self.key}}

        def validate_response(self, response: schemathesis.Response, case: schemathesis.Case, **kwargs: Any) -> None:
            try:
                super().validate_response(response, case, **kwargs)
            except Exception as error:
                wrong.append(error)
                raise
            if response.status_code < 400:
                missed.discard(case.operation.definition.raw["operationId"])

    while made < CHAINS or (missed and made < MOST):
        try:
            seed(made)(Chain).run(settings=ROUND)
        except FlakyStrategyDefinition:
            # A new id, or the time, led the same requests elsewhere, which ends a round; the next one goes on.
            if wrong:
                raise wrong[0] from None
    assert not missed, f"no chain came to {sorted(missed)}"


def new_meter() -> tuple[str, str]:
    """Ask for a meter; return its URL and a key."""
    print("another", flush=True)
    url, key = input().split()
    return url, key


def linked(document: dict[str, Any]) -> set[str]:
    """Return the operations that links lead to."""
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    links = {link["operationId"] for answer in answers for link in answer.get("links", {}).values()}
    return {name for name in links if not name.startswith("holds.")}


if __name__ == "__main__":
    follow_links()
