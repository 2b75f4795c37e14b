"""One event into the ledger, against the same statements on raw sqlite3: a file in WAL mode, synchronous NORMAL."""

from __future__ import annotations

import itertools
import json
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from measure import Row, alternating

from payi_instrument import Payi
from payi_instrument.engine.ledger import EventRow
from payi_instrument.engine.store_sqlite import SqliteStore
from payi_instrument.event import Attribution, UsageEvent

_BLOCKS, _COUNT = 21, 200


class RawLedger:
    """The statements of one ingest with one limit, with nothing decided between them."""

    def __init__(self, path: str) -> None:
        """Make a ledger with one limit."""
        SqliteStore(path).close()
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA synchronous = NORMAL")
        columns = ", ".join(EventRow._fields)
        marks = ", ".join("?" * len(EventRow._fields))
        self._insert = f"INSERT INTO events ({columns}) VALUES ({marks}) ON CONFLICT (application, event_id) DO NOTHING"
        self._database.execute(
            "INSERT INTO limits VALUES ('default','m','m','allow','1000000','1','0','0',0,0,0,0,0,0,0,0,'{}',NULL)"
        )
        self._database.execute("INSERT INTO use_case_definitions VALUES ('default','x','d',NULL,NULL,1,0)")
        self._database.execute("INSERT INTO use_case_instances VALUES ('default',?,'x',1,NULL,NULL)", ("y" * 36,))
        self._numbers = itertools.count()

    def ingest(self) -> None:
        """Run them once, for the next event."""
        number = next(self._numbers)
        run = self._database.execute
        row = [f"01a1ff92-454d-78d3-{number:016x}", "default", f"{number:032x}", "system.openai", "gpt-4o", "r" * 36]
        row += [f"chatcmpl-{number}", 1, 1, json.dumps({"text": (1000, 300)}), "0.0025", "0.003"]
        row += [
            json.dumps([("m", "ok", "allow", "1000000", "0.5")]),
            "u",
            None,
            "x",
            "y" * 36,
            None,
            None,
            200,
            1,
            None,
        ]
        row += [None, None, None]
        run("BEGIN IMMEDIATE")
        run(
            "SELECT d.version, d.limit_config, i.version, i.limit_id FROM (SELECT ? AS application, ? AS name, ? AS id) AS a"
            " LEFT JOIN use_case_definitions AS d ON d.application = a.application AND d.name = a.name"
            " LEFT JOIN use_case_instances AS i ON i.application = a.application AND i.use_case_id = a.id"
            " AND i.use_case_name = a.name",
            ("default", "x", "y" * 36),
        ).fetchone()
        run(
            "SELECT limit_id, limit_type, max, threshold, spent_input, spent_output, ok, exceeded, overrun, blocked,"
            " blocked_external, failed, since, created FROM limits WHERE application = ? AND limit_id IN (?)",
            ("default", "m"),
        ).fetchall()
        run(self._insert, row)
        run(
            "UPDATE limits SET spent_input = ?, spent_output = ?, ok = ?, exceeded = ?, overrun = ?, blocked = ?,"
            " blocked_external = ?, failed = ? WHERE application = ? AND limit_id = ?",
            (str(number), str(number), number, 0, 0, 0, 0, 0, "default", "m"),
        )
        run("COMMIT")


def rows() -> list[Row]:
    """Measure p50 in a tight loop."""
    with tempfile.TemporaryDirectory() as folder:
        raw = RawLedger(str(Path(folder) / "raw.db"))
        client = Payi(base_url=f"sqlite:///{folder}/ours.db")
        client.limits.create(limit_name="m", limit_id="m", max=1_000_000)
        who = Attribution(limit_ids=("m",), user_id="u", use_case_name="x", use_case_id="y" * 36)
        numbers = itertools.count()

        def ours() -> None:
            number = next(numbers)
            event = UsageEvent(
                f"{number:032x}",
                "system.openai",
                "gpt-4o",
                {"text": (1000, 300)},
                who,
                event_timestamp=datetime.now(UTC),
                http_status_code=200,
                provider_response_id=f"chatcmpl-{number}",
                record_unpriced=True,
            )
            client.transport.ingest([event])

        theirs, mine = alternating([raw.ingest, ours], blocks=_BLOCKS, count=_COUNT)
        found = [Row("embedded ingest, p50", f"{theirs * 1e6:.0f} us", f"{mine * 1e6:.0f} us", mine / theirs, 2, "x")]
        batch = _bulk(client, who)
        client.close()
    return [*found, batch]


def _bulk(client: Payi, who: Attribution) -> Row:
    """Measure a batch of 500 per event, which has no floor of its own to hold it against."""
    times: list[float] = []
    for round_ in range(10):
        events = [
            UsageEvent(f"b{round_}-{number}", "system.openai", "gpt-4o", {"text": (10, 3)}, who, record_unpriced=True)
            for number in range(500)
        ]
        begin = time.perf_counter()
        client.transport.ingest(events)
        times.append((time.perf_counter() - begin) / 500)
    taken = statistics.median(times) * 1e6
    return Row("embedded ingest in batches of 500, per event", "-", f"{taken:.0f} us", taken, 100, "us")
