"""How long tests wait for anything: one bound for all, and only what hangs reaches it.

A test asserts what happens, not how long it takes: on a busy machine everything takes longer.  Pace and phase are
proven in fake time; durations are measured in `benchmarks/`.
"""

from __future__ import annotations

PATIENCE_SECONDS = 200.0
"""Many times what the slowest wait takes on a busy machine, and less than pytest's own timeout for a whole test."""
