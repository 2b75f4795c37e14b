"""The fixture that users' tests meter with, in a pytest of its own."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from fresh_process import run

pytest_plugins = ["pytester"]

SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
"""
PLUGIN = () if entry_points(group="pytest11", name="payi") else ("-p", "payi_instrument.pytest_plugin")


def test_the_fixture_meters_each_test_on_a_ledger_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makeini(SETTINGS)
    pytester.makepyfile(
        """
        import openai
        import pytest
        from concurrent.futures import ThreadPoolExecutor
        from offline_openai import Offline
        from payi_instrument import get_context, track

        @track(user_id="u1", limit_ids=["budget"])
        def agent():
            return Offline().ask()

        def test_events(payi_meter):
            agent()
            [event] = payi_meter.events
            assert event.attribution.user_id == "u1"
            assert event.attribution.use_case_name is None
            assert event.units == {"text": (1000, 100)}

        def test_limits(payi_meter):
            assert payi_meter.events == []
            payi_meter.client.limits.create(limit_name="budget", limit_id="budget", max=1)
            agent()
            assert payi_meter.client.limits.retrieve("budget").limit.totals.requests.total == 1

        def test_that_fails(payi_meter):
            agent()
            assert payi_meter.events == []

        def test_without_the_fixture_nothing_is_metered():
            assert not hasattr(agent(), "xproxy_result")
            assert "request" not in vars(openai.OpenAI)
            assert get_context() == {}

        """
    )
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*test_that_fails*", "*assert *UsageEvent*"])


def test_the_fixture_says_what_it_is_for(pytester: pytest.Pytester) -> None:
    pytester.makeini(SETTINGS)
    result = pytester.runpytest(*PLUGIN, "--fixtures")
    result.stdout.fnmatch_lines(["payi_meter*", "*Meter every provider call of the test*"])


def test_the_plugin_costs_a_test_run_nothing_until_the_fixture_is_used() -> None:
    program = """
        import sys
        import payi_instrument.pytest_plugin
        heavy = ("wrapt", "asyncio", "httpx", "pydantic", "sqlalchemy", "openai")
        print([name for name in heavy if name in sys.modules])
    """
    assert run(program) == "[]"
