"""What a server counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """Count requests by operation and status, refusals by code, and what each commit held."""

    def __init__(self, folder: str | None = None) -> None:
        """Register the counters; workers of one server share a folder, `run` says how."""
        self._folder = folder
        self._registry = CollectorRegistry()
        self._events = Counter(
            "payi_events", "Events answered by a commit, known ones among them.", registry=self._registry
        )
        self._commits = Counter("payi_commits", "Transactions that stored events.", registry=self._registry)
        self._groups = Histogram(
            "payi_commit_events", "Events that one transaction held.", buckets=_EVENTS, registry=self._registry
        )
        self._seconds = Histogram(
            "payi_request_seconds",
            "Time from a request's head to its answer.",
            ["operation", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rejected = Counter(
            "payi_rejected", "Requests and events refused, by code.", ["code"], registry=self._registry
        )
        self._observers: dict[tuple[str, int], Callable[[float], None]] = {}

    def committed(self, events: int) -> None:
        """Count one transaction."""
        self._commits.inc()
        self._events.inc(events)
        self._groups.observe(events)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        observe = self._observers.get((operation, status))
        if observe is None:
            observe = self._seconds.labels(operation, str(status)).observe
            self._observers[operation, status] = observe
        observe(seconds)

    def rejected(self, code: str) -> None:
        """Count a refusal."""
        self._rejected.labels(code).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format, over all workers."""
        if self._folder is None:
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared, self._folder)  # type: ignore[no-untyped-call]  # the library leaves it untyped
        return generate_latest(shared)
