"""The maximum wait of tests: one bound for all, which only a hang reaches.

A test asserts what happens, not how long it takes: on a busy machine everything takes longer.  Tests of pace and phase
use fake time; `benchmarks/` measures durations.
"""

from __future__ import annotations

PATIENCE_SECONDS = 200.0
"""Much longer than the slowest wait on a busy machine, and shorter than pytest's timeout for a whole test."""
