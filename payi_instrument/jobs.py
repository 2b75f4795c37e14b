"""Remember who began work that goes on after its call: whoever asks for its end later does not pay for it.

Background responses, runs of a thread, turns of an agent's session. Source: decision 6, ADR 11.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from payi_instrument.event import Attribution, CallFacts, Usage

_MOST = 10_000
"""How many jobs are remembered; the oldest are forgotten first."""


class Begun(NamedTuple):
    """Who began a job, and the model that was asked for, if one was."""

    attribution: Attribution
    resource: str | None


class Jobs:
    """Hold the jobs that this process began, by the id that they are asked for by; without a lock, each step is atomic."""

    def __init__(self) -> None:
        """Begin without any."""
        self._begun: dict[str, Begun] = {}

    def note(self, facts: CallFacts, usage: Usage, who: Attribution) -> None:
        """Remember for whom work goes on, when a call began it or spoke to it."""
        job = facts.job or usage.job or usage.response_id
        if facts.costs and job is not None:
            self.begin(job, Begun(who, facts.resource or usage.resource), anew=facts.job is not None)

    def taken(self, facts: CallFacts, usage: Usage, who: Attribution) -> tuple[CallFacts, Attribution]:
        """Return whose call a usage is, and what it is about: of work that was begun here, the beginner's."""
        begun = self.of(usage.response_id, usage.job) if usage.once else None
        if begun is None:
            return facts, who
        return replace(facts, resource=facts.resource or begun.resource), begun.attribution

    def begin(self, job: str, begun: Begun, *, anew: bool = False) -> None:
        """Remember who began a job; the first counts, unless it goes on `anew`, as a conversation does with each word."""
        known = self._begun.setdefault(job, begun)
        if anew:
            self._begun[job] = Begun(begun.attribution, begun.resource or known.resource)
        while len(self._begun) > _MOST:
            with suppress(RuntimeError):  # another thread's job came in between
                self._begun.pop(next(iter(self._begun)), None)

    def of(self, *ids: str | None) -> Begun | None:
        """Return who began the job of the first of these ids that is known."""
        return next((begun for job in ids if job is not None and (begun := self._begun.get(job)) is not None), None)
