"""A KPI counted up: read, then written, and never in the caller's way."""

from __future__ import annotations

import json
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


def test_of_scores_that_nobody_filtered_the_named_one_is_counted_up(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    scores = [{"kpi_name": name, "kpi_type": "number", "score": score} for name, score in (("other", 7), ("likes", 3))]
    for items, counted in ((scores, 4), (scores[:1], 1)):
        listed = json.dumps({"items": items}).encode()
        server.instead.extend([Answer(200, content=listed), Answer(200, content=b"")])
        assert increment(caller, "likes", "chat", "1") is True
        assert (server.last.path.rpartition("/")[2], server.last.json) == ("likes", {"score": counted})


def test_it_never_raises(caller: Caller, server: LoopbackMeter, caplog: pytest.LogCaptureFixture) -> None:
    caller.open(server.url, max_retries=0)
    assert increment(caller, "likes", "nobody", "nothing") is False
    assert increment(caller, "", "", "") is False
    server.always = Answer(503)
    assert increment(caller, "likes", "chat", "1") is False
    caller.wait(caller.client.close)
    assert increment(caller, "likes", "chat", "1") is False
    assert caplog.text.count("was not incremented") == 4
