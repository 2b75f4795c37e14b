"""What the description says, put to the server: requests made from it at random, good and bad, alone and in sequence.

Source of the requests is schemathesis, over real HTTP. It expects of every answer that it has a documented status, the
documented type and shape, that no status is 500 or above, and that without a valid key everything is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from running import DATABASES, Running, ledger_of

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = 100
"""Requests for each operation, beside the several thousand that go along every bound of the description."""

SETTINGS = """
[auth.openapi.key]
api_key = "{key}"

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

# A version of a resource stays readable when it is deleted: stored events name it.
[[operations]]
include-operation-id = "categories.resources.retrieve"
checks.use_after_free.enabled = false

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
"body.limit_id" = {{ dictionary = "known", probability = 0.3 }}
"body.name" = {{ dictionary = "known", probability = 0.3 }}
"body.category" = {{ dictionary = "categories", probability = 0.5 }}

[dictionaries]
known.values = ["known"]
categories.values = ["known", "system.openai"]
version.values = ["{version}"]
event.values = ["{event}"]
"""


@pytest.mark.skipif("PAYI_FUZZ" not in os.environ, reason="takes many minutes; PAYI_FUZZ=1 runs it")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("database", DATABASES)
def test_the_server_is_as_described(database: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = Running(ledger_of(database, tmp_path_factory))
    settings = SETTINGS.format(key=server.key(), **one_of_everything(server))
    (tmp_path / "settings.toml").write_text(settings)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "settings.toml"),
            *("run", f"{server.url}/openapi.json", "--max-examples", str(EXAMPLES), "--generation-deterministic"),
            *("--exclude-tag", "holds"),  # they are answered with 501 until they are built
            *("--continue-on-failure", "--output-truncate", "true", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    rejected = server.ask("GET", "/metrics").body.decode()
    server.stop()

    _, _, shown = done.stdout.partition("FAILURES")
    assert done.returncode == 0, "\n".join(line[:400] for line in (shown or done.stdout + done.stderr).splitlines())
    assert 'payi_rejected_total{code="invalid_api_key"}' in rejected
    for operation in (
        "limits.update",
        "use_cases.kpis.update",
        "requests.request_id.properties.update",
        "ingest.units",
    ):
        assert f'payi_request_seconds_count{{operation="{operation}",status="200"}}' in rejected


def one_of_everything(server: Running) -> dict[str, str]:
    """Make what requests can be about; return the ids that the meter makes."""
    client = server.client()
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
