"""Switch metering on: the composition root, where scopes, gate, delivery and wrappers are put together.

Source: instrumentation-semantics sections 2 and 8, decisions 12 to 14 and 17.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from payi_instrument import guard, scope, streams
from payi_instrument.call import Runtime, Settings
from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.config import Config, instrument_config
from payi_instrument.declared import declared
from payi_instrument.delivery.backlog import flush_all
from payi_instrument.delivery.inline import InlineDelivery
from payi_instrument.delivery.known import KnownLimits
from payi_instrument.delivery.meter import Meter
from payi_instrument.gate import BlockGate
from payi_instrument.mappings import read_mappings
from payi_instrument.otel import OpenTelemetry
from payi_instrument.wrappers import Installation

if TYPE_CHECKING:
    import logging

    from payi_instrument.delivery.meter import AsyncTransport, Transport
    from payi_instrument.providers._base import Provider

Clients = Payi | AsyncPayi | Sequence[Payi | AsyncPayi]

_PROVIDERS = ("payi_instrument.providers.openai.provider",)
_ENTRY_POINTS = "payi_instrument.providers"
_EVERY = "*"


class Instrumentation:
    """The handle of running metering: flush it, shut it down, take it back."""

    def __init__(self, meter: Meter, delivery: InlineDelivery, installation: Installation) -> None:
        """Take what was put together."""
        self._meter = meter
        self._delivery = delivery
        self._installation = installation

    def serves(self, client: Payi | AsyncPayi) -> bool:
        """Say whether events go to the meter of this client."""
        return self._meter.identity == client.transport.meter

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every event is with the meter, at most `timeout` seconds; False when some are not."""
        return self._delivery.flush(timeout)

    def shutdown(self, timeout: float = 10.0) -> bool:
        """Stop metering, then wait as `flush` does; False when events are still not with the meter."""
        self.uninstrument()
        return self.flush(timeout)

    def uninstrument(self) -> None:
        """Put every function back and drop the global values; the client stays open, and `payi_instrument` may follow."""
        global _active  # one process, one instrumentation
        with _switching:
            self._installation.undo()
            if _active is self:
                _active = None
                scope.set_global(None)


@atexit.register
def _at_exit() -> None:
    """Deliver what is open or queued, whichever instrumentation it began under, within the last one's `exit_timeout`."""
    streams.abandon_open()
    if not flush_all(_Exit.timeout) or not (_active is None or _active.flush(_Exit.timeout)):
        guard.logger.warning("payi: the meter was not reached before exit; events that waited for it may be lost")


class _Exit:
    """How long the exit of the process may take, in seconds."""

    timeout = 2.0


_active: Instrumentation | None = None
_switching = threading.RLock()


def payi_instrument(
    payi: Clients | None = None,
    *,
    instruments: Iterable[str] | None = None,
    log_prompt_and_response: bool | None = None,
    config: Mapping[str, object] | None = None,
    logger: logging.Logger | None = None,
) -> Instrumentation:
    """Meter the calls of every provider SDK in this process, whenever the SDK or its clients are made.

    `payi` is a client, or a sync and an async one; without it one is made from the environment. `instruments` names the
    categories to meter (`system.openai`, …; None or `*` means all). Prompts and answers are stored only with
    `log_prompt_and_response`. `config` takes the keys of the documentation's table. A second call returns the first one's
    handle and changes nothing. Raises `ValueError` or `TypeError` naming what is wrong, `PayiError` without a meter.
    """
    global _active  # one process, one instrumentation
    caller = sys._getframe(1)  # noqa: SLF001  # its file names the default use case
    settings = instrument_config(config, log_prompt_and_response=log_prompt_and_response, caller=caller)
    with _switching:
        if _active is not None:
            guard.logger.debug("payi: already instrumented; this call changes nothing")
            return _active
        began = time.perf_counter()
        with ExitStack() as failing:
            failing.callback(guard.forward_to, None)
            guard.forward_to(logger)
            _active = _assemble(payi, instruments, settings)
            failing.pop_all()
        _Exit.timeout = settings.exit_timeout
        guard.logger.debug("payi: instrumented in %.1f ms", (time.perf_counter() - began) * 1000)
        return _active


def _assemble(payi: Clients | None, instruments: Iterable[str] | None, config: Config) -> Instrumentation:
    """Put everything together; what can fail comes before what changes the process."""
    global_values = _global_values(config)
    mappings = read_mappings(config)
    providers = _chosen(instruments)
    meter = _meter(payi)
    known = KnownLimits(config.on_limit_state)
    delivery = InlineDelivery(
        meter, known, max_events=config.queue_max_events, log_window=config.connection_error_logging_window
    )
    gate = BlockGate(meter, known, delivery, config) if config.enforce_block_limits else None
    shared = Settings(
        log_prompt_and_response=config.log_prompt_and_response,
        instrument_inline_data=config.instrument_inline_data,
        capture_stack_trace=config.capture_stack_trace,
        redact=config.redact,
        telemetry=OpenTelemetry(),
        mappings=mappings,
    )
    installation = Installation()
    installation.threads(config.threads)
    for provider in providers:
        installation.provider(provider, Runtime(shared, delivery, gate))
    scope.set_global(global_values)
    return Instrumentation(meter, delivery, installation)


def _global_values(config: Config) -> scope.Values | None:
    """Return the values that are in effect everywhere; None captures nothing outside scopes."""
    values = declared(
        limit_ids=config.limit_ids,
        use_case_name=config.use_case_name,
        use_case_id=config.use_case_id,
        use_case_version=config.use_case_version,
        use_case_properties=config.use_case_properties,
        user_id=config.user_id,
        account_name=config.account_name,
        request_properties=config.request_properties,
    )
    return values if config.global_instrumentation else None


def _meter(given: Clients | None) -> Meter:
    """Settle which client carries sync and which async calls; one alone carries both."""
    clients: list[object] = list(given) if isinstance(given, (list, tuple)) else [Payi() if given is None else given]
    for client in clients:
        if not isinstance(client, (Payi, AsyncPayi)):
            msg = f"payi: {client!r} is a {type(client).__name__}, expected Payi, AsyncPayi or a list of one of each"
            raise TypeError(msg)
    sync = [client for client in clients if isinstance(client, Payi)]
    asynchronous = [client for client in clients if isinstance(client, AsyncPayi)]
    if not clients or len(sync) > 1 or len(asynchronous) > 1:
        msg = f"payi: {len(sync)} sync and {len(asynchronous)} async clients, expected at most one of each, and one at least"
        raise ValueError(msg)
    if sync and asynchronous and sync[0].transport.meter != asynchronous[0].transport.meter:
        msg = (
            f"payi: {sync[0].base_url} and {asynchronous[0].base_url} are two meters;"
            " name the same one in both (a file rather than memory), or pass one client"
        )
        raise ValueError(msg)
    return Meter(_transport(sync, asynchronous), _async_transport(sync, asynchronous))


def _transport(sync: list[Payi], asynchronous: list[AsyncPayi]) -> Transport:
    if sync:
        return sync[0].transport
    transport = asynchronous[0].transport
    return transport if transport.embedded is True else transport.blocking()


def _async_transport(sync: list[Payi], asynchronous: list[AsyncPayi]) -> AsyncTransport | None:
    """Return what carries async calls; an embedded meter carries both, a worker thread waits for a sync client."""
    if asynchronous:
        return asynchronous[0].transport
    transport = sync[0].transport
    return transport if transport.embedded is True else None


def _chosen(instruments: Iterable[str] | None) -> list[Provider]:
    """Return the providers that `instruments` switches on; an unknown name is warned about."""
    wanted = {_EVERY} if instruments is None else _names(instruments)
    modules = [import_module(name) for name in _PROVIDERS]
    for point in entry_points(group=_ENTRY_POINTS):
        with guard.Guard(f"load the provider {point.name}"):
            modules.append(point.load())
    providers = cast("list[Provider]", modules)
    if _EVERY in wanted:
        return providers
    known = {category for provider in providers for category in provider.categories}
    for name in sorted(wanted - known):
        guard.logger.warning("payi: instruments: %r is unknown; known are %s", name, ", ".join(sorted(known)))
    return [provider for provider in providers if wanted & provider.categories]


def _names(instruments: Iterable[str]) -> set[str]:
    given = cast("object", instruments)
    names = (
        list(cast("Iterable[object]", given)) if isinstance(given, Iterable) and not isinstance(given, str) else [None]
    )
    if not all(isinstance(name, str) for name in names):
        msg = f"instruments: {instruments!r} is a {type(instruments).__name__}, expected a set of category names"
        raise TypeError(msg)
    return cast("set[str]", set(names))
