"""Stored requests: their results and properties, and what the meter can do. Source: wire-api sections 7 and 8."""

from __future__ import annotations
