"""What the description says, put to the server: requests made from it at random, good and bad, alone and in sequence.

Source of the requests is schemathesis, over real HTTP. It expects of every answer that it has a documented status, the
documented type and shape, that no status is 500 or above, and that without a valid key everything is refused.

It runs in processes of its own, without the meter: what is made at random depends on the modules that are loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from meters import Place
from running import DATABASES, Running, ledger_of

from payi_instrument.server.openapi import description
from payi_instrument.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi

EXAMPLES = {"postgres": 100, "sqlite": 25}
"""Requests for each operation, beside the several thousand that go along every bound of the description.

What a request may say is the engine's to judge, whichever database it has.
"""
PARTS = {
    "ingest": {"ingest"},
    "use cases": {"use_cases"},
    "others": {"limits", "categories", "requests", "capabilities", "service"},
}
"""Tags of the operations that are tested together, so that no test takes much longer than another."""
ENVIRONMENT = {**os.environ, "PYTHONHASHSEED": "0"}
"""So that the same requests are made each time."""

SETTINGS = """
[auth.openapi.key]
api_key = "{key}"

# One request in five would be about nothing but its key; each operation is asked without a key, and with a wrong one,
# by the check that both are refused.
[generation]
with-security-parameters = false

[checks]
# What fits its schema may still be refused for what is stored: a name that is taken, a max below what is spent.
positive_data_acceptance.enabled = false
# More than 1000 items in a bulk call are too large, as a body of too many bytes is.
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 413, 415]

# Spend is not lost for a typo. Of an event without a use case's name the version is not looked at; of a bulk call the
# good items are stored whatever the others are.
[[operations]]
include-operation-id = ["ingest.units", "ingest.bulk", "ingest.bulk_upsert"]
checks.negative_data_rejection.enabled = false

# A version of a resource stays readable when it is deleted: stored events name it. A list of what is left may be empty.
[[operations]]
include-operation-id = ["categories.resources.retrieve", "categories.resources.list"]
checks.use_after_free.enabled = false

[[operations]]
include-tag = "holds"  # they are answered with 501 until they are built
enabled = false

# What earlier answers held is not asked for again: to look for it would take as long as all else, and differ each time.
[phases.fuzzing.extra-data-sources]
responses = false

# Links that schemathesis makes up compare ids that are different each time.
[phases.stateful.inference]
algorithms = []

# Half of the requests are about what is there.
[parameters]
"path.limit_id" = {{ dictionary = "known", probability = 0.5 }}
"path.use_case_name" = {{ dictionary = "known", probability = 0.5 }}
"path.use_case_id" = {{ dictionary = "known", probability = 0.5 }}
"path.kpi_name" = {{ dictionary = "known", probability = 0.5 }}
"path.category" = {{ dictionary = "categories", probability = 0.5 }}
"path.resource" = {{ dictionary = "known", probability = 0.5 }}
"path.resource_id" = {{ dictionary = "version", probability = 0.5 }}
"path.request_id" = {{ dictionary = "event", probability = 0.5 }}
"path.provider_response_id" = {{ dictionary = "known", probability = 0.5 }}
"query.limit_name" = {{ dictionary = "known", probability = 0.3 }}
"query.use_case_name" = {{ dictionary = "known", probability = 0.3 }}
"header.xProxy-Limit-IDs" = {{ dictionary = "known", probability = 0.3 }}
"header.xProxy-UseCase-Name" = {{ dictionary = "known", probability = 0.3 }}
"header.xProxy-UseCase-Version" = {{ dictionary = "first", probability = 0.5 }}
"body.limit_id" = {{ dictionary = "known", probability = 0.3 }}
"body.name" = {{ dictionary = "known", probability = 0.3 }}
"body.category" = {{ dictionary = "categories", probability = 0.5 }}
"body.resource" = {{ dictionary = "known", probability = 0.5 }}

[dictionaries]
known.values = ["known"]
first.values = [1]
categories.values = ["known", "system.openai"]
version.values = ["{version}"]
event.values = ["{event}"]
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("database", DATABASES)
def test_the_server_is_as_described(
    database: str, part: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Running(ledger_of(database, tmp_path_factory))
    (tmp_path / "settings.toml").write_text(SETTINGS.format(key=server.key(), **one_of_everything(server.client())))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "settings.toml"),
            *("run", f"{server.url}/openapi.json", "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES[database]), "--generation-deterministic"),
            *("--no-shrink", "--continue-on-failure"),
            *(f"--include-tag={tag}" for tag in PARTS[part]),
            *("--output-truncate", "true", "--no-color"),
        ],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    counted = server.ask("GET", "/metrics").body.decode()
    server.stop()

    _, _, shown = done.stdout.partition("FAILURES")
    assert done.returncode == 0, "\n".join(line[:400] for line in (shown or done.stdout + done.stderr).splitlines())
    assert 'payi_rejected_total{code="invalid_api_key"}' in counted
    asked = [operation for operation in OPERATIONS if operation.name.partition(".")[0] in PARTS[part]]
    there = [operation.name for operation in asked if operation.method != "DELETE"]  # chains find what they delete
    assert [name for name in there if not is_answered(name, counted)] == []


def is_answered(name: str, counted: str) -> bool:
    """Say whether an operation was ever answered with what it is for."""
    return any(f'operation="{name}",status="{status}"' in counted for status in (200, 201))


def test_no_operation_is_left_out() -> None:
    tags = {operation.name.partition(".")[0] for operation in OPERATIONS} | {"service"}
    assert set().union(*PARTS.values()) == tags - {"holds"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("database", DATABASES)
def test_chains_of_requests_are_answered_as_described(database: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS.format(key="each chain's", version="made", event="made"))
    (tmp_path / "openapi.json").write_text(json.dumps(description(OPERATIONS)))
    program = [sys.executable, str(Path(__file__).with_name("chains.py"))]
    place = None
    with (
        (tmp_path / "stderr").open("w") as said,
        subprocess.Popen(
            program,
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            bufsize=1,
        ) as chains,
    ):
        assert chains.stdin is not None
        assert chains.stdout is not None
        for _ in chains.stdout:
            if place is not None:
                place.close()
            place = Place(f"server-{database}")
            client = place.open()
            one_of_everything(client)
            chains.stdin.write(f"{client.base_url} {client.api_key}\n")
    if place is not None:
        place.close()

    assert chains.returncode == 0, (tmp_path / "stderr").read_text()


def one_of_everything(client: Payi) -> dict[str, str]:
    """Make what requests can be about; return the ids that the meter makes."""
    price = {"text": {"input_price": 1}}
    start = "2024-01-01T00:00:00Z"
    version = client.categories.resources.create("known", category="known", units=price, start_timestamp=start)
    client.limits.create(limit_name="known", limit_id="known", max=1000)
    client.use_cases.definitions.create(name="known", description="d")
    client.use_cases.definitions.kpis.create("known", name="known", description="d", kpi_type="number", goal=1)
    attribution: dict[str, Any] = {"limit_ids": ["known"], "use_case_name": "known", "use_case_id": "known"}
    units = {"text": {"input": 1}}
    event = client.ingest.units(
        category="known", resource="known", units=units, provider_response_id="known", **attribution
    )
    return {"version": version.resource_id, "event": event.request_id}
