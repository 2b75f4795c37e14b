"""A meter in memory, and the resource that the conformance rows price with."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import settings
from meters import Place, client_of

from payi_instrument import guard
from payi_instrument.client.client import Payi
from payi_instrument.errors import APIStatusError, BadRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter
    from payi_instrument.wire.categories import CategoryResourceResponse
    from payi_instrument.wire.result import XproxyResult

settings.register_profile("shared machine", deadline=None)  # tests say what happens, never how long it takes
settings.load_profile("shared machine")


class Use(Protocol):
    """Ingest one event of `demo/model`: a cent for each unit in, three for each unit out."""

    def __call__(self, units_in: int = 1, units_out: int = 0, **arguments: Any) -> XproxyResult: ...


class Refused(Protocol):
    """Expect that the meter refuses what the block does, with this code."""

    def __call__(self, code: str | None, error: type[APIStatusError] = ...) -> AbstractContextManager[None]: ...


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Payi]:
    """A client of an empty meter: in memory, or each of the four in turn where `on_each_meter` asks for it."""
    with client_of(getattr(request, "param", "sqlite")) as payi:
        yield payi


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty ledger for several clients of one meter: a file, or each of the four in turn as for `client`."""
    with closing(Place(getattr(request, "param", "sqlite"), tmp_path)) as place:
        yield place


@pytest.fixture(name="D")
def demo_model(client: Payi) -> CategoryResourceResponse:
    return client.categories.resources.create(
        "model",
        category="demo",
        units={"text": {"input_price": 0.01, "output_price": 0.03}},
        start_timestamp="2024-01-01T00:00:00Z",
    )


@pytest.fixture
def use(client: Payi, D: CategoryResourceResponse) -> Use:  # noqa: N803  # the conformance list's name for it
    def ingest(units_in: int = 1, units_out: int = 0, **arguments: Any) -> XproxyResult:
        units = {"text": {"input": units_in, "output": units_out}}
        return client.ingest.units(
            **{"category": D.category, "resource": D.resource, "units": units, **arguments}
        ).xproxy_result

    return ingest


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> Refused:
    over_http = {"server-sqlite", "server-postgres"} & {*_parameters(request).values()}

    @contextmanager
    def refusing(code: str | None, error: type[APIStatusError] = BadRequestError) -> Iterator[None]:
        with pytest.raises((error, ValueError) if over_http else error) as caught:
            yield
        if isinstance(caught.value, APIStatusError):
            assert caught.value.code == code
        else:  # the client itself refuses what HTTP can't carry
            assert "carry" in str(caught.value)

    return refusing


def _parameters(request: pytest.FixtureRequest) -> dict[str, object]:
    """Return what a test was parametrized with: the meter, where it runs on several."""
    callspec = getattr(request.node, "callspec", None)
    return {name: value for name, value in (callspec.params.items() if callspec else ()) if name in {"client", "place"}}


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    """No error of ours is swallowed; a test of the swallowing switches it on itself."""
    guard.raise_errors(True)
    yield
    guard.raise_errors(False)


@pytest.fixture
def meter() -> Iterator[MemoryMeter]:
    """Meter the test's calls in memory."""
    from payi_instrument.testing import metered

    with metered() as memory:
        yield memory


@pytest.fixture(scope="session")
def _provider() -> Iterator[StandIn]:
    from examples.openai_standin import StandIn

    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(_provider: StandIn) -> Iterator[StandIn]:
    """A provider on this machine that answers as the test says."""
    yield _provider
    _provider.released.set()
    _provider.reset()


@pytest.fixture(scope="session")
def _client(_provider: StandIn) -> Iterator[OpenAI]:
    import openai

    with openai.OpenAI(base_url=_provider.url, api_key="sk-secret", max_retries=0) as client:
        yield client


@pytest.fixture
def sdk(_client: OpenAI, standin: StandIn) -> OpenAI:
    """The SDK, its client made before anything is instrumented."""
    return _client


@pytest.fixture
async def asdk(standin: StandIn) -> AsyncIterator[AsyncOpenAI]:
    """The SDK for `await`."""
    import openai

    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(base_url=standin.url, api_key="sk-secret", max_retries=0, http_client=http) as client:
        yield client
