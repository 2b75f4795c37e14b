"""A million micro-costs through `ingest.bulk`: exact to the last digit, in time and memory that stay flat.

Runs in a process of its own, so that its peak memory is nobody else's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from typing import Any

from measure import Row

from payi_instrument import Payi

_CALLS, _SIZE = 1000, 1000
_EARLY = _CALLS // 10


def rows() -> list[Row]:
    """Ingest 1 000 000 events of 0.00000025 USD; fail when they do not total exactly 0.25."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if (Decimal(found["total"]), found["requests"]) != (Decimal("0.25"), _CALLS * _SIZE):
        msg = f"1 000 000 events of 0.00000025 total {found['total']} in {found['requests']} requests"
        raise AssertionError(msg)
    early, late, whole = found["early_us"], found["late_us"], found["whole_s"]
    return [
        Row(
            f"bulk, the last 100 000 of 1 000 000 events, {whole:.0f} s in all",
            f"{early:.0f} us",
            f"{late:.0f} us",
            late / early,
            1.5,
            "x",
        ),
        Row(
            "peak memory, 1 000 000 events to 100 000",
            f"{found['early_mb']:.0f} MB",
            f"{found['late_mb']:.0f} MB",
            found["late_mb"] / found["early_mb"],
            1.1,
            "x",
        ),
    ]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _ingest() -> dict[str, object]:
    event = {"category": "micro", "resource": "m", "units": {"text": {"input": 1}}, "limit_ids": ["a"]}
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Payi(base_url=f"sqlite:///{folder}/l.db") as client:
        client.categories.resources.create("m", category="micro", units={"text": {"input_price": 0.00000025}})
        client.limits.create(limit_name="a", limit_id="a", max=1)
        for call in range(_CALLS):
            begin = time.perf_counter()
            client.ingest.bulk(events=[event] * _SIZE)
            times.append(time.perf_counter() - begin)
            if call == _EARLY:
                early_mb = _peak_mb()
        totals = client.limits.retrieve("a").limit.totals
    per_event = 1e6 / (_EARLY * _SIZE)
    return {
        "total": f"{totals.cost.total.base_exact:f}",
        "requests": totals.requests.total,
        "whole_s": sum(times),
        "early_us": sum(times[:_EARLY]) * per_event,
        "late_us": sum(times[-_EARLY:]) * per_event,
        "early_mb": early_mb,
        "late_mb": _peak_mb(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_ingest()))
