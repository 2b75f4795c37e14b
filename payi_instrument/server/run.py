"""Run the server: one or several worker processes on one socket, until they are told to stop.

A worker that gets SIGTERM takes no new connections, answers what it accepted, and closes its ledger.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import Multiprocess

from payi_instrument.engine.address import Address
from payi_instrument.errors import PayiError
from payi_instrument.server.app import create_app
from payi_instrument.server.log import log_json_lines
from payi_instrument.server.metrics import Metrics
from payi_instrument.server.protocol import CappedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp

    from payi_instrument.server.settings import ServerSettings

_COLLECTED_FROM = 50_000
"""Young objects that make the collector look: a batch of events is as many, and none of it is garbage yet."""
_KEPT_ALIVE_S = 75
"""Longer than clients and balancers keep an idle connection, so that none is closed while a request is on its way."""
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def serve(settings: ServerSettings) -> None:
    """Serve until the process is told to stop; raises `PayiError` when the ledger can't be opened."""
    log_json_lines(settings.log_level)
    if settings.workers == 1:
        _Server(config_of(settings, partial(_worker_app, settings, None))).run()
        return
    address = Address.of(settings.database_url)
    if not address.is_shared:
        raise PayiError(f"{settings.workers} workers can't share a ledger in memory; give a file or a database")
    address.store().close()  # made or migrated once, and what is wrong with it said here
    folder = tempfile.mkdtemp(prefix="payi-metrics-")
    # the workers inherit it: prometheus_client reads it when it is imported, and can be told by nothing else
    os.environ[_FOLDER] = folder  # noqa: TID251
    try:
        config = config_of(settings, partial(_worker_app, settings, folder))
        with config.bind_socket() as listening:
            Multiprocess(config, sockets=[listening]).run()
    finally:
        del os.environ[_FOLDER]  # noqa: TID251
        shutil.rmtree(folder, ignore_errors=True)


def config_of(settings: ServerSettings, make_app: Callable[[], ASGIApp]) -> uvicorn.Config:
    """Return what uvicorn has to know; each worker makes its app itself."""
    return uvicorn.Config(
        make_app,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=CappedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEPT_ALIVE_S,
        timeout_graceful_shutdown=settings.graceful_timeout,
    )


class _Server(uvicorn.Server):
    """Call being told to stop a success: uvicorn would raise the signal again when all is done."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Stop; a second Ctrl-C waits for nobody."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _worker_app(settings: ServerSettings, folder: str | None) -> ASGIApp:
    """Make the app of one worker process; `folder` is where workers share what they count."""
    log_json_lines(settings.log_level)
    metrics = Metrics(folder)
    app = create_app(Address.of(settings.database_url).open(metrics.committed), metrics, max_body=settings.max_body)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_FROM, 20, 20)
    return app
