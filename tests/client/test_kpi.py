"""A KPI counted up: read, then written, and never in the caller's way."""

from __future__ import annotations

from typing import Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import increment_kpi_score, increment_kpi_score_async


def increment(caller: Caller, *args: Any, **kwargs: Any) -> Any:
    twin = increment_kpi_score_async if caller.awaited else increment_kpi_score
    return caller.wait(twin, caller.client, *args, **kwargs)


@pytest.mark.parametrize("embedded", [False, True])
def test_u12_a_score_is_counted_up_from_nothing(caller: Caller, server: LoopbackMeter, *, embedded: bool) -> None:
    caller.open("sqlite://" if embedded else server.url)
    caller("use_cases.definitions.create", name="chat", description="d")
    for name in ("likes", "likes too"):
        kpi = {"name": name, "description": "d", "kpi_type": "number", "goal": 3}
        caller("use_cases.definitions.kpis.create", "chat", **kpi)
    run = caller("use_cases.create", "chat").use_case_id
    assert increment(caller, "likes", "chat", run) is True
    assert increment(caller, kpi_name="likes", use_case_name="chat", use_case_id=run, increment=2) is True

    scores = caller.items(caller("use_cases.kpis.list", run, use_case_name="chat"))
    assert [(score.kpi_name, score.score) for score in scores] == [("likes", 3)]


def test_it_never_raises(caller: Caller, server: LoopbackMeter, caplog: pytest.LogCaptureFixture) -> None:
    caller.open(server.url, max_retries=0)
    assert increment(caller, "likes", "nobody", "nothing") is False
    assert increment(caller, "", "", "") is False
    server.always = Answer(503)
    assert increment(caller, "likes", "chat", "1") is False
    caller.wait(caller.client.close)
    assert increment(caller, "likes", "chat", "1") is False
    assert caplog.text.count("was not incremented") == 4
