"""Run benchmarks: ``python -m benchmarks [--quick] [--only NAME,...] [--output FILE]``.

Prints Markdown; with ``--output`` writes it to FILE instead.  Exit status 0 even if a target is missed; the table shows
it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import budget, cluster, growth, handover, memory, paths, polling, scrape, steps
from benchmarks.harness import Options, Progress, Report, facts, markdown

PROFILE = Path(__file__).with_name("profile.md")
"""Where the CPU of a poll goes: written by hand, a part of the results."""

BENCHMARKS = {
    "scrape": scrape,
    "polling": polling,
    "steps": steps,
    "budget": budget,
    "paths": paths,
    "memory": memory,
    "growth": growth,
    "handover": handover,
    "cluster": cluster,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure the exporter.")
    parser.add_argument("--quick", action="store_true", help="a second or two each: to see that they work")
    parser.add_argument("--only", default="", metavar="NAME,...", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    wanted = [name for name in args.only.split(",") if name] or list(BENCHMARKS)
    for name in wanted:
        if name not in BENCHMARKS:
            parser.error(f"--only: {name!r} is none of {', '.join(BENCHMARKS)}")
    progress = Progress(lambda text: print(text, file=sys.stderr, flush=True))
    heading = facts()
    reports = []
    for name in wanted:
        began = time.monotonic()
        module = BENCHMARKS[name]
        result = module.run(Options(args.quick), progress)
        reports.append(Report(name, module.__doc__ or "", result, time.monotonic() - began))
        if args.output is not None:  # after each, so that an interrupted run keeps its results
            text = f"{markdown(heading, reports)}\n{PROFILE.read_text(encoding='utf-8')}"
            args.output.write_text(text, encoding="utf-8")
    if args.output is None:
        print(markdown(heading, reports), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
