"""Keep metering out of the caller's way.

In production an error inside metering is logged and swallowed; in the project's own tests it is raised, so that none
hides (instrumentation-semantics section 5, decision 18).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

logger = logging.getLogger("payi.instrument")
"""The package's logger; the name is the official SDK's, so that existing logging configurations keep working."""

_raising = False


class _Forward(logging.Handler):
    """Hand records on to the logger that the user chose."""

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self._target = target
        self.before = (logger.level, logger.propagate)

    def emit(self, record: logging.LogRecord) -> None:
        if self._target.isEnabledFor(record.levelno) and not hasattr(record, _FORWARDED):
            setattr(record, _FORWARDED, True)  # a logger below ours would hand it back for ever
            self._target.handle(record)


_FORWARDED = "payi_forwarded"


def forward_to(target: logging.Logger | None) -> None:
    """Send everything that is logged to `target` instead; None leaves the package's own logger as it was configured."""
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Forward)]:
        logger.removeHandler(handler)
        level, logger.propagate = handler.before
        logger.setLevel(level)
    if target is not None and target is not logger:
        logger.addHandler(_Forward(target))
        logger.propagate = False
        logger.setLevel(logging.DEBUG)  # the chosen logger's level decides


def raise_errors(mode: bool, /) -> None:  # noqa: FBT001  # the mode is the whole message
    """Choose what a :class:`Guard` does with an error: raise it (tests) or log and swallow it (production)."""
    global _raising  # one process, one mode
    _raising = mode


class Guard:
    """Swallow and log any `Exception` from the block it guards; cancellation and exits pass.

    A guard holds no state, so one instance serves every thread: `READ = Guard("read the usage")`, `with READ: ...`.
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        """Name what the block does, in the infinitive, for the log line."""
        self._doing = doing

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Return True, which swallows the error, unless there is none, it must pass, or errors are to be raised."""
        if error is None or _raising or not isinstance(error, Exception):
            return False
        self._note(error)
        return True

    def handle(self, error: Exception) -> None:
        """Do with an error what the block does: for where it was caught without one, since entering it takes too long."""
        if _raising:
            raise error
        self._note(error)

    def _note(self, error: Exception) -> None:
        """Log the kind and the place of an error, never its text, which may quote a prompt or a key."""
        logger.error("payi: could not %s: %s at %s", self._doing, type(error).__name__, _place(error))


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
