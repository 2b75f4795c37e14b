"""Stop a call whose `block` limit is full, before it costs anything.

On an embedded meter the limits are read from the ledger itself; on a remote one the last known standing decides, asked for
once at first sight and refreshed in the background. Setting spend aside beforehand (holds) joins here. Source:
instrumentation-semantics section 7, limits-semantics section 6.3, decision 10.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from payi_instrument import scope as scopes
from payi_instrument.delivery.worker import Worker
from payi_instrument.errors import LimitBlockedError
from payi_instrument.guard import Guard, logger
from payi_instrument.wire.result import LimitResult

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from payi_instrument.call import Call, Delivery
    from payi_instrument.config import Config
    from payi_instrument.delivery.known import KnownLimits
    from payi_instrument.delivery.meter import Meter
    from payi_instrument.event import Attribution

_ASK = Guard("read limits before a call")
_REPORT = Guard("report a refused call")
_DOWN_FOR_S = 5.0
"""How long a meter that could not be reached is not asked again."""
_NO_LIMIT = LimitResult()


class BlockGate:
    """Refuse calls whose block limits are full."""

    def __init__(self, meter: Meter, known: KnownLimits, delivery: Delivery, config: Config) -> None:
        """Take the meter to ask, what is known already, and how refusals are reported."""
        self._meter = meter
        self._known = known
        self._delivery = delivery
        self._budget = config.gate_budget_ms / 1000
        self._ttl = config.block_state_ttl
        self._blocks_when_down = config.on_meter_down == "block"
        self._is_down = False
        self._asks_from = float("-inf")
        self._refresher = Worker("payi-gate")

    def check(self, call: Call) -> None:
        """Raise `LimitBlockedError`, the refusal reported, when a block limit of the call is full."""
        limit_ids = self.limits_of(call.attribution)
        if not limit_ids:
            return
        if asked_for := self._to_ask(limit_ids, call.attribution):
            self._ask(asked_for, call.attribution)
        if blocking := self._blocking(limit_ids):
            result = None
            with _REPORT:
                if (event := call.refuse(blocking)) is not None:
                    result = self._delivery.deliver(event)
                    call.settled(result)
            raise LimitBlockedError(blocking, result)

    async def acheck(self, call: Call) -> None:
        """Raise `LimitBlockedError`, the refusal reported, when a block limit of the call is full."""
        limit_ids = self.limits_of(call.attribution)
        if not limit_ids:
            return
        if asked_for := self._to_ask(limit_ids, call.attribution):
            await self._aask(asked_for, call.attribution)
        if blocking := self._blocking(limit_ids):
            result = None
            with _REPORT:
                if (event := call.refuse(blocking)) is not None:
                    result = await self._delivery.adeliver(event)
                    call.settled(result)
            raise LimitBlockedError(blocking, result)

    def limits_of(self, who: Attribution) -> tuple[str, ...]:
        """Return the limits that a call counts on: those it names, and the one of its use-case instance.

        An embedded meter is asked for that at first sight, but for an instance that begins here while others of its use case
        have none. What a remote one gives to an instance is known from its results.
        """
        name, use_case_id = who.use_case_name, who.use_case_id
        if name is None or use_case_id is None:
            return who.limit_ids
        instances = self._known.instances
        automatic = instances.limits(name, use_case_id)
        if automatic is None and not (instances.gives_none(name) and scopes.began_here(use_case_id)):
            automatic = self._meter.automatic_limits(name, use_case_id)
        return tuple(dict.fromkeys((*who.limit_ids, *automatic))) if automatic else who.limit_ids

    def _to_ask(self, limit_ids: Iterable[str], who: Attribution) -> list[str]:
        """Return the limits that have to be asked for before this call may go; a limit's type never changes."""
        if self._meter.embedded:
            return [limit_id for limit_id in limit_ids if not self._known.only_tracks(limit_id)]
        if time.monotonic() < self._asks_from:
            return []
        aged = [limit_id for limit_id in limit_ids if self._known.age(limit_id) > self._ttl]
        fresh = [limit_id for limit_id in aged if self._known.standing(limit_id) is None]
        if known := [limit_id for limit_id in aged if limit_id not in fresh and not self._known.only_tracks(limit_id)]:
            self._refresher.submit(self._ask, known, who)
        return fresh

    def _ask(self, limit_ids: list[str], who: Attribution) -> None:
        asked = time.monotonic()
        with self._reaching():
            self._learn(limit_ids, who, self._meter.limit_states(limit_ids, self._budget), asked)

    async def _aask(self, limit_ids: list[str], who: Attribution) -> None:
        asked = time.monotonic()
        with self._reaching():
            self._learn(limit_ids, who, await self._meter.alimit_states(limit_ids, self._budget), asked)

    @contextmanager
    def _reaching(self) -> Generator[None]:
        """Note a meter that could not be asked."""
        with _ASK:
            try:
                yield
            except Exception as error:  # noqa: BLE001  # a meter that can't be asked stops no call
                self._not_reached(error)

    def _learn(self, limit_ids: list[str], who: Attribution, found: Mapping[str, LimitResult], asked: float) -> None:
        """Take the meter's answer; a limit that it does not know, or no longer, stops nothing."""
        self._is_down = False
        noted = limit_ids
        if self._meter.embedded and who.use_case_name is not None and who.use_case_id is not None:
            automatic = self._meter.automatic_limits(who.use_case_name, who.use_case_id)
            missing = [limit_id for limit_id in automatic if limit_id in limit_ids and limit_id not in found]
            if missing:  # as of most instances
                self._known.instances.note_none(who.use_case_name, who.use_case_id)
                noted = [limit for limit in limit_ids if limit not in missing or self._known.standing(limit)]
        self._known.learn({limit_id: found.get(limit_id) or _NO_LIMIT for limit_id in noted}, asked)

    def _not_reached(self, error: Exception) -> None:
        self._is_down = True
        now = time.monotonic()
        was_said, self._asks_from = now < self._asks_from, now + _DOWN_FOR_S
        if was_said:
            return
        what = "known block limits stop calls" if self._blocks_when_down else "limits count as allow"
        logger.warning("payi: limits can't be read (%s); %s until they can", type(error).__name__, what)

    def _blocking(self, limit_ids: Iterable[str]) -> list[str]:
        """Return the limits that stop the call."""
        down = self._is_down and self._blocks_when_down
        blocking: list[str] = []
        for limit_id in limit_ids:
            standing = None if self._known.only_tracks(limit_id) else self._known.standing(limit_id)
            if standing is not None and standing.limit_type == "block" and (down or _is_full(standing)):
                blocking.append(limit_id)
        return blocking


def _is_full(standing: LimitResult) -> bool:
    if standing.remaining is not None:
        return standing.remaining <= 0
    return standing.state == "blocked"
