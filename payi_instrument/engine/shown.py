"""A value as a message shows it: short, and without fail, whatever it is."""

from __future__ import annotations

from reprlib import Repr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

_MOST = 60
_MOST_BITS = 128


class _Short(Repr):
    """Look no further into a value than a message has room for: it may be as long and as deep as its sender likes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = _MOST

    def repr_Decimal(self, x: Decimal, level: int) -> str:  # noqa: ARG002, N802  # named by the type
        """Show a number as it was sent."""
        return str(x)

    def repr_int(self, x: int, level: int) -> str:
        """Leave alone what Python refuses to write out, or takes long for."""
        return super().repr_int(x, level) if x.bit_length() <= _MOST_BITS else f"<integer of {x.bit_length()} bits>"


_short = _Short()


def shown(value: object) -> str:
    """Return a value in at most 60 characters."""
    return _short.repr(value)[:_MOST]
