"""Bring events to the meter and results back; the meter is handed in."""
