"""What is LiteLLM's own: the errors it makes, the hosts that its Router rests, the calls that it sends by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import litellm
import pytest
from litellm import Router
from litellm_ways import acompletion, arouted, host
from openai_answers import ANSWERS
from ways import MODEL

from payi_instrument import LimitBlockedError, track, track_context

if TYPE_CHECKING:
    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

QUESTION = "What is two and two?"

pytestmark = pytest.mark.filterwarnings("ignore", "error:::payi_instrument")  # what the framework warns of is its own


@pytest.fixture
def full(meter: MemoryMeter) -> str:
    """A limit that the first call fills."""
    meter.client.limits.create(limit_name="full", limit_id="full", max=0.000001, limit_type="block")
    return "full"


def causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that led to it, the nearest first."""
    return [error, *causes(error.__cause__ or error.__context__)] if error else []


async def test_a_refusal_is_found_behind_litellms_error_and_in_the_scope(standin: StandIn, full: str) -> None:
    with track_context(limit_ids=[full]) as ctx:
        async with host(standin.url) as options:
            await acompletion(options, QUESTION)
            with pytest.raises(litellm.APIError, match="blocked by limit full") as caught:
                await acompletion(options, QUESTION)

    [refusal] = [error for error in causes(caught.value) if isinstance(error, LimitBlockedError)]
    assert refusal.limit_ids == ["full"]
    assert ctx.last_result is refusal.xproxy_result
    assert ctx.last_result is not None
    assert ctx.last_result.blocked_limit_ids == ["full"]


async def test_a_full_limit_of_one_user_does_not_rest_the_routers_hosts_for_others(
    standin: StandIn, meter: MemoryMeter, full: str
) -> None:
    async with host(standin.url) as options:
        hosts = [{"model_name": "any", "litellm_params": {**options, "api_key": key}} for key in ("a", "b")]
        router = Router(hosts)
        blocked = track(user_id="ada", limit_ids=[full])(arouted)
        await blocked(router, QUESTION)
        for _ in range(8):
            with pytest.raises(litellm.APIError, match="blocked by limit full"):
                await blocked(router, QUESTION)
        await track(user_id="bob")(arouted)(router, QUESTION)

    billed = [(event.attribution.user_id, event.http_status_code) for event in meter.events]
    assert billed == [("ada", 200), *[("ada", 424)] * 8, ("bob", 200)]  # and none was tried again


@pytest.mark.parametrize(
    "model",
    ["deepseek/any", "hosted_vllm/any", "mistral/any", "openrouter/any", "xai/any", f"openai/responses/{MODEL}"],
)
async def test_what_litellm_sends_without_the_sdk_is_not_metered(
    standin: StandIn, meter: MemoryMeter, model: str
) -> None:
    standin.answers |= ANSWERS
    async with host(standin.url) as options:
        answer = await acompletion({**options, "model": model}, QUESTION)

    assert answer["choices"][0]["message"]["content"] == standin.reply.text
    assert len(standin.requests) == 1
    assert meter.events == []
