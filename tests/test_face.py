"""The public face: every name is there, lazily, and importing the decorators loads next to nothing."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from fresh_process import run

import payi_instrument
from payi_instrument import errors

HEAVY = ("wrapt", "asyncio", "httpx", "httpx2", "pydantic", "sqlalchemy", "alembic", "openai", "opentelemetry")


@pytest.mark.parametrize("name", payi_instrument.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(payi_instrument, name) is not None
    assert name in dir(payi_instrument)


def test_star_import_brings_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from payi_instrument import *", names)
    assert set(payi_instrument.__all__) <= set(names)


def test_type_checkers_see_the_names_that_run_time_has() -> None:
    tree = ast.parse(Path(str(payi_instrument.__file__)).read_text())
    [checked] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    aliases = [target.id for node in checked.body if isinstance(node, ast.Assign) for target in node.targets
               if isinstance(target, ast.Name)]  # fmt: skip
    assert {*seen, *aliases, "__version__"} == set(payi_instrument.__all__)
    for name, home in seen.items():
        assert getattr(payi_instrument, name) is getattr(sys.modules[str(home)], name)


def test_every_error_is_public() -> None:
    tree = [getattr(errors, name) for name in dir(errors)]
    defined = {kind.__name__ for kind in tree if isinstance(kind, type) and issubclass(kind, errors.PayiError)}
    assert defined <= set(payi_instrument.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'payi_instrument' has no attribute 'no_such'"):
        payi_instrument.no_such  # noqa: B018  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="no_such"):
        exec("from payi_instrument import no_such")


def test_the_function_and_the_package_share_their_name() -> None:
    assert callable(payi_instrument.payi_instrument)
    assert not callable(payi_instrument)
    assert payi_instrument.payi_instrument.__module__ == "payi_instrument.instrumentation"


def test_the_official_names_of_the_clients_are_the_clients() -> None:
    assert payi_instrument.Client is payi_instrument.Payi
    assert payi_instrument.AsyncClient is payi_instrument.AsyncPayi


def test_the_decorators_load_nothing_heavy() -> None:
    program = """
        import sys
        from payi_instrument import track, track_context, get_context

        @track(user_id="u1", use_case_name="x")
        def run():
            with track_context(limit_ids=["a"]):
                return get_context()["limit_ids"]

        assert run() == ["a"]
        print(sorted(name for name in sys.modules if "." not in name))
    """
    loaded = ast.literal_eval(run(program))
    assert [name for name in HEAVY if name in loaded] == []


def test_instrumenting_imports_no_sdk() -> None:
    program = """
        import sys
        from payi_instrument import Payi, payi_instrument
        payi_instrument(Payi(base_url="sqlite://")).shutdown()
        print([name for name in ("openai", "anthropic", "boto3", "botocore", "vertexai", "google.genai", "databricks",
                                 "opentelemetry", "multiprocessing") if name in sys.modules])
    """
    assert run(program) == "[]"


ORDERS = {
    "before the SDK is imported": """
        handle = payi_instrument(meter.client)
        from offline_openai import Offline
        offline = Offline()
    """,
    "after the SDK is imported": """
        from offline_openai import Offline
        handle = payi_instrument(meter.client)
        offline = Offline()
    """,
    "after the client is made": """
        from offline_openai import Offline
        offline = Offline()
        handle = payi_instrument(meter.client)
    """,
    "before, taken back, and again after": """
        payi_instrument(meter.client).uninstrument()
        from offline_openai import Offline
        import openai
        assert "request" not in vars(openai.OpenAI)
        offline = Offline()
        handle = payi_instrument(meter.client)
    """,
    "twice before": """
        payi_instrument(meter.client).uninstrument()
        handle = payi_instrument(meter.client)
        from offline_openai import Offline
        offline = Offline()
    """,
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_imports_does_not_matter(order: str) -> None:
    program = f"""
        import asyncio
        from payi_instrument import payi_instrument
        from payi_instrument.testing import MemoryMeter
        meter = MemoryMeter()
        {ORDERS[order]}
        assert offline.ask().xproxy_result.cost is not None
        assert asyncio.run(offline.aask()).xproxy_result.cost is not None
        handle.shutdown()
        import openai
        assert "request" not in vars(openai.OpenAI)
        print(len(meter.events))
    """
    assert run(program) == "2"
