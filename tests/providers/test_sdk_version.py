"""The SDK that a run is on: the one of constraints.txt, or the older one that `make sdks` puts before it."""

from __future__ import annotations

import os
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from openai import OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

PINS = Path(os.environ.get("SDK_PINS", Path(__file__).parents[2] / "constraints.txt"))
OPENAI = Requirement(next(line for line in PINS.read_text("utf-8").splitlines() if line.startswith("openai==")))
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}


def test_the_calls_of_this_run_are_of_the_sdk_that_it_is_for(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    answer = sdk.chat.completions.with_raw_response.create(**ASK)

    sent = standin.requests[0].headers["x-stainless-package-version"]
    assert f"openai=={sent}" == str(OPENAI)
    assert openai.__version__ == version("openai") == sent
    assert meter.events[0].module == f"openai/{sent}"
    library = "httpx" if sent.startswith(("1.", "2.")) else "httpx2"
    assert type(answer.http_response).__module__.partition(".")[0] == library


def test_what_the_sdk_needs_is_installed() -> None:
    needed = [need for need in map(Requirement, requires("openai") or ()) if need.marker is None]
    assert [str(need) for need in needed if version(need.name) not in need.specifier] == []
    assert needed
