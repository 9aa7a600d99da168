"""Write the dashboards' JSON, or check that the committed files are up to date.

python -m grafana.build            write grafana/dashboards/*.json
python -m grafana.build --check    exit 1 if a file differs
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import exporter_dashboard, numbers_dashboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.models import dashboard

DASHBOARDS = Path(__file__).with_name("dashboards")


def rendered() -> dict[str, str]:
    """The content of each dashboard's file, by the file's name."""
    built = (numbers_dashboard.build(), exporter_dashboard.build())
    return {f"{one.uid}.json": _as_json(one) for one in built}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m grafana.build", description="Write the dashboards' JSON.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    parser.add_argument("--output", type=Path, default=DASHBOARDS, metavar="DIR", help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    differing = {name: text for name, text in rendered().items() if _held(options.output / name) != text}
    for name, text in differing.items():
        if options.check:
            sys.stderr.write(f"{options.output / name} is out of date; run python -m grafana.build\n")
        else:
            (options.output / name).write_text(text, encoding="utf-8")
    return 1 if options.check and differing else 0


def _as_json(built: dashboard.Dashboard) -> str:
    text = json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
    return text + "\n"


def _held(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
