"""Use cases: definitions, KPIs, instances. Source: wire-api section 6."""

from __future__ import annotations
