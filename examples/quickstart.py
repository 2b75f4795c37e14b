"""Two users, three limits, one decorator: what payi_instrument does, in one run.

make demo                               offline, against a stand-in for OpenAI on this machine
python examples/quickstart.py --live    the same against OpenAI itself (needs OPENAI_API_KEY)
"""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from openai import OpenAI
from openai_standin import StandIn
from rich.console import Console
from rich.table import Table

from payi_instrument import LimitBlockedError, Payi, payi_instrument, track, track_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import Stream
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from payi_instrument.wire.result import XproxyResult

GOOD, CHEAP = "gpt-4o", "gpt-4o-mini"
QUESTION = [{"role": "user", "content": "What is two and two?"}]
COLOURS = {"ok": "green", "exceeded": "yellow", "overrun": "red", "blocked": "bold red", "blocked_external": "magenta"}

console = Console(highlight=False)


class Desk:
    """A support desk: it answers users, and notes what each answer cost and how the limits stand."""

    def __init__(self, client: OpenAI) -> None:
        """Take the client to answer with."""
        self.client = client
        self.calls: Counter[str] = Counter()
        self.cost: Counter[str] = Counter()
        self.states: dict[str, str] = {}

    @track(limit_ids=["company"], use_case_name="support_desk")
    def answer(self, model: str) -> ChatCompletion:
        """Answer in one piece; the result comes on the response."""
        return self.client.chat.completions.create(model=model, messages=QUESTION)

    @track(limit_ids=["company"], use_case_name="support_desk")
    def stream(self, model: str) -> Stream[ChatCompletionChunk]:
        """Answer word by word; the result is on the stream once it is read."""
        stream = self.client.chat.completions.create(model=model, messages=QUESTION, stream=True)
        for chunk in stream:
            console.print(chunk.choices[0].delta.content or "", end="", style="dim italic")
        console.print()
        return stream

    def serve(self, user: str, *, streamed: bool = False) -> None:
        """Answer one user, whose own limit joins the company's."""
        model = self.affordable_model(user)
        with track_context(user_id=user, limit_ids=[user]):
            try:
                response = self.stream(model) if streamed else self.answer(model)
            except LimitBlockedError as error:
                self.note(user, "not called", error.xproxy_result)
            else:
                self.calls[user] += 1
                self.note(user, model, response.xproxy_result)

    def affordable_model(self, user: str) -> str:
        """Degrade to the cheaper model once the user's own limit is nearly used up."""
        return CHEAP if self.states.get(user) in {"exceeded", "overrun"} else GOOD

    def note(self, user: str, model: str, result: XproxyResult) -> None:
        """Keep and print what the meter says of a call."""
        self.cost[user] += result.cost.total.base
        self.states |= {limit_id: limit.state for limit_id, limit in result.limits.items()}
        states = ", ".join(f"{limit_id} {coloured(limit.state)}" for limit_id, limit in result.limits.items())
        console.print(f"{user}  {model:12} ${result.cost.total.base:.5f}  {states}")


def create_limits(meter: Payi, scale: float) -> None:
    """An `allow` limit tells how far it is used; a full `block` limit stops the next call."""
    meter.limits.create(limit_id="company", limit_name="The company's", max=0.04 * scale, threshold=0.75)
    meter.limits.create(limit_id="ada", limit_name="Ada's", max=0.025 * scale, threshold=0.8)
    meter.limits.create(limit_id="bob", limit_name="Bob's trial", max=0.02 * scale, limit_type="block")


@contextmanager
def provider(*, live: bool) -> Iterator[OpenAI]:
    if live:
        yield OpenAI()
        return
    with StandIn() as standin, OpenAI(base_url=standin.url, api_key="none needed") as client:
        yield client
        console.print(f"\nThe stand-in was called {len(standin.requests)} times: a blocked call never gets there.")


def show(desk: Desk, meter: Payi) -> None:
    users = Table("User", "Calls", "Cost", title="\nWho spent it", title_justify="left")
    for user, calls in desk.calls.items():
        users.add_row(user, str(calls), f"${desk.cost[user]:.5f}")
    limits = Table("Limit", "Type", "Spent", "Max", "State", title="\nHow the limits stand", title_justify="left")
    for limit in meter.limits.list(sort_ascending=True):
        spent, state = limit.totals.cost.total.base, desk.states[limit.limit_id]
        limits.add_row(limit.limit_name, limit.limit_type, f"${spent:.5f}", f"${limit.max:.5f}", coloured(state))
    console.print(users, limits)


def coloured(state: str) -> str:
    return f"[{COLOURS[state]}]{state}[/]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", action="store_true", help="call OpenAI itself")
    live = parser.parse_args().live

    meter = Payi(base_url="sqlite://")  # a ledger in memory; sqlite:///payi.db keeps it, https://… is a service
    create_limits(meter, scale=0.02 if live else 1)
    payi_instrument(meter)  # from here on every call of the SDK is metered
    with provider(live=live) as client:
        desk = Desk(client)
        for _ in range(4):
            desk.serve("ada")
            desk.serve("bob")
        desk.serve("ada", streamed=True)
    show(desk, meter)


if __name__ == "__main__":
    main()
