"""Try an installed wheel: meter a call by hand, in memory, with the packaged prices."""

from decimal import Decimal
from pathlib import Path

import payi_instrument
from payi_instrument import Payi

assert ".venv/wheel" in Path(payi_instrument.__file__).as_posix(), payi_instrument.__file__

client = Payi(base_url="sqlite://")
client.limits.create(limit_name="Monthly", limit_id="monthly", max=100)
result = client.ingest.units(
    category="system.openai",
    resource="gpt-4o-2024-08-06",
    units={"text": {"input": 1_000_000, "output": 100_000}},
    limit_ids=["monthly"],
).xproxy_result
assert result.cost is not None
assert result.cost.total.base_exact == Decimal("3.5"), result
assert result.limits["monthly"].state == "ok", result
print(f"the wheel works: payi-instrument {payi_instrument.__version__}, cost {result.cost.total.base} USD")
