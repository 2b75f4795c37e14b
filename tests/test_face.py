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
    public = {alias.asname for node in imports for alias in node.names if alias.asname}
    aliases = {
        target.id: node.value.id
        for node in checked.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert {*public, *aliases, "__version__"} == set(payi_instrument.__all__)
    for name, own_name in {**{name: name for name in public}, **aliases}.items():
        assert getattr(payi_instrument, name) is getattr(sys.modules[str(seen[own_name])], own_name)


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


def test_the_official_names_mean_the_same_here() -> None:
    assert payi_instrument.Client is payi_instrument.Payi
    assert payi_instrument.AsyncClient is payi_instrument.AsyncPayi
    assert issubclass(payi_instrument.types.LimitResponse, payi_instrument.BaseModel)
    assert payi_instrument.NotGiven is payi_instrument.Omit
    for absent in (payi_instrument.NOT_GIVEN, payi_instrument.not_given, payi_instrument.omit):
        assert isinstance(absent, payi_instrument.NotGiven)
        assert not absent
    default = payi_instrument.DEFAULT_TIMEOUT
    assert isinstance(default, payi_instrument.Timeout)
    assert (default.connect, default.read, default.write, default.pool) == (5, 60, 60, 60)
    with payi_instrument.Payi(base_url="sqlite://", timeout=payi_instrument.Timeout(7, connect=1)) as client:
        assert client.max_retries == payi_instrument.DEFAULT_MAX_RETRIES == 2
        made = client.limits.create(limit_name="n", max=1, threshold=payi_instrument.omit, timeout=default)
        assert made.limit.threshold == client.limits.retrieve(made.limit.limit_id).limit.threshold


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_timeout_is_the_librarys_in_use_loaded_when_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setenv("PAYI_HTTP", library)
    program = """
        import sys
        import payi_instrument
        from payi_instrument import NOT_GIVEN, APIResponse, BaseModel
        assert not {"httpx", "httpx2"} & sys.modules.keys()
        print(payi_instrument.Timeout.__module__, type(payi_instrument.DEFAULT_TIMEOUT).__module__)
    """
    assert run(program) == f"{library} {library}"


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
