"""Whether the cost of one number stays the same as the fleet grows.

The same runs as `memory`: CPU of one idle scrape, and resident memory.  The values of a process with one number are
subtracted, and the rest is divided by the number of numbers.  Equal values mean linear growth.  Up to 10,000 numbers
the accounts grow in number too, 100 numbers each; the 50,000 are in 100 accounts like the 10,000.
"""

from __future__ import annotations

from benchmarks import memory
from benchmarks.harness import Options, Progress, Result, Table, Target

FLAT = 1.3
"""How much more a number may cost with 50,000 numbers than with 10,000."""


def run(options: Options, progress: Progress) -> Result:
    """Measure, or use the measurements of `memory`."""
    base, *found = memory.measure(memory.sizes(options), options, progress)
    scrape = {m.numbers: (m.scrape_seconds - base.scrape_seconds) / m.numbers * 1e6 for m in found}
    kib = {m.numbers: (m.rss_mib - base.rss_mib) / m.numbers * 1024 for m in found}
    table = Table(
        ("numbers", "scrape CPU a number, µs", "memory a number, KiB"),
        tuple((f"{numbers:,}", f"{scrape[numbers]:.2f}", f"{kib[numbers]:.2f}") for numbers in scrape),
    )
    return Result((table,), tuple(_targets(scrape, kib)))


def _targets(scrape: dict[int, float], kib: dict[int, float]) -> list[Target]:
    if not {10_000, 50_000} <= scrape.keys():
        return []
    targets = []
    for what, found in (("scrape CPU", scrape), ("memory", kib)):
        ratio = found[50_000] / found[10_000]
        name = f"{what} a number, 50,000 against 10,000"
        targets.append(Target(name, f"≤ {FLAT} ×", f"{ratio:.2f} ×", ratio <= FLAT))
    return targets
