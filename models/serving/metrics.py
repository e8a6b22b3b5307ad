"""Numbers for Prometheus, by its own library: requests, latency, batches, the queue, models. Names of routes and models only.

With several processes each writes into the folder PROMETHEUS_MULTIPROC_DIR, and any of them answers for all.
Read next: app.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import prometheus_client as prometheus
from prometheus_client import multiprocess

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        own = self.registry = prometheus.CollectorRegistry()
        self.several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        if self.several:
            multiprocess.MultiProcessCollector(own)  # type: ignore[no-untyped-call]
            own = prometheus.CollectorRegistry()  # the collector reads the files of all

        def make(kind: Any, name: str, text: str, labels: Sequence[str] = (), **more: Any) -> Any:
            return kind(f"minitorch_{name}", text, labels, registry=own, **more)

        counter, histogram, gauge = prometheus.Counter, prometheus.Histogram, prometheus.Gauge
        self.requests = make(counter, "requests", "Requests by route and status", ("route", "status"))
        self.request_seconds = make(histogram, "request_seconds", "From request to response", ("route",), buckets=SECONDS)
        self.answers = make(counter, "texts", "Texts answered", ("model",))
        self.tokens = make(counter, "tokens", "Tokens of texts answered", ("model",))
        self.batch_size = make(histogram, "batch_size", "Rows of a batch", buckets=SIZES)
        self.batch_seconds = make(histogram, "batch_seconds", "Computing a batch", buckets=SECONDS)
        self.queue_seconds = make(histogram, "queue_seconds", "From arrival to a worker", buckets=SECONDS)
        self.queue = make(gauge, "queue_texts", "Rows that wait", multiprocess_mode="livesum")
        self.busy = make(gauge, "busy_workers", "Workers that compute", multiprocess_mode="livesum")
        self.versions = make(
            gauge, "model_loaded_seconds", "When a model was loaded", ("model", "version"), multiprocess_mode="max"
        )

    def model(self, new: Any, old: Any = None) -> None:
        """A model is there, in the place of another."""
        if old is not None and not self.several:
            self.versions.remove(old.name, old.version)
        self.versions.labels(new.name, new.version).set(new.loaded)

    def answered(self, served: Any, lengths: Sequence[int], seconds: float) -> None:
        """Texts of a request."""
        self.answers.labels(served.name).inc(len(lengths))
        self.tokens.labels(served.name).inc(sum(lengths))

    def batch(self, items: Sequence[Any], started: float, seconds: float) -> None:
        """A worker has computed a batch."""
        self.batch_size.observe(len(items))
        self.batch_seconds.observe(seconds)
        for item in items:
            self.queue_seconds.observe(started - item.since)

    def page(self, batcher: Any) -> tuple[bytes, str]:
        """All numbers as text, and the type of that."""
        self.queue.set(len(batcher.waiting))
        self.busy.set(batcher.busy)
        return prometheus.generate_latest(self.registry), prometheus.CONTENT_TYPE_LATEST
