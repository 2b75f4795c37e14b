"""Count a KPI up without a thought for what may go wrong. Source: instrumentation-semantics section 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payi_instrument.guard import logger

if TYPE_CHECKING:
    from payi_instrument.client.client import AsyncPayi, Payi
    from payi_instrument.wire.use_cases import KpiScore


def increment_kpi_score(payi: Payi, kpi_name: str, use_case_name: str, use_case_id: str, increment: float = 1) -> bool:
    """Add to the score of a KPI for one run of a use case, from 0 when it has none; never raises, False means not done.

    The score is read and then written: of two callers at the same time one increment may be lost.
    """
    try:
        scores = payi.use_cases.kpis.list(use_case_id, use_case_name=use_case_name, kpi_name=kpi_name)
        score = _score(list(scores), kpi_name) + increment
        payi.use_cases.kpis.update(kpi_name, use_case_name=use_case_name, use_case_id=use_case_id, score=score)
    except Exception as error:  # noqa: BLE001  # a count that fails stops no caller
        return _failed(kpi_name, use_case_name, use_case_id, error)
    return True


async def increment_kpi_score_async(
    payi: AsyncPayi, kpi_name: str, use_case_name: str, use_case_id: str, increment: float = 1
) -> bool:
    """Add to the score of a KPI as :func:`increment_kpi_score` does, awaited."""
    try:
        scores = payi.use_cases.kpis.list(use_case_id, use_case_name=use_case_name, kpi_name=kpi_name)
        score = _score([item async for item in scores], kpi_name) + increment
        await payi.use_cases.kpis.update(kpi_name, use_case_name=use_case_name, use_case_id=use_case_id, score=score)
    except Exception as error:  # noqa: BLE001  # a count that fails stops no caller
        return _failed(kpi_name, use_case_name, use_case_id, error)
    return True


def _score(scores: list[KpiScore], kpi_name: str) -> float:
    """Return the score of a KPI; the filter is not trusted, a plain service may not know it."""
    return next((item.score for item in scores if item.kpi_name == kpi_name and item.score is not None), 0)


def _failed(kpi_name: str, use_case_name: str, use_case_id: str, error: Exception) -> bool:
    logger.warning(
        "payi: KPI %s of %s/%s was not incremented (%s: %s)",
        kpi_name,
        use_case_name,
        use_case_id,
        type(error).__name__,
        error,
    )
    return False
