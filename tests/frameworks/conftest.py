"""Frameworks that call the SDK, kept off the network: no price map, no traces.

They run in a pytest of their own (`make test`), since what they import and leave behind is felt in every other test.
"""

from __future__ import annotations

import gc
import os
import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LANGSMITH_TRACING"] = "false"
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _garbage() -> Iterator[None]:
    """Leave the frameworks themselves out of every collection, and collect what they left open before pytest does.

    A connection that LiteLLM left open is an error to pytest.
    """
    gc.freeze()
    yield
    gc.unfreeze()
    with warnings.catch_warnings(action="ignore"):
        for _ in range(3):
            gc.collect()
