"""What holds for one meter holds for all four: every test here that takes `client` or `place` runs on each."""

from __future__ import annotations

from meters import on_each_meter

pytest_generate_tests = on_each_meter
