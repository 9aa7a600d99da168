"""The parts of Prometheus's HTTP API that tests use.  Starts nothing.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import OPENER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class QueryError(Exception):
    """Prometheus refused a request; the text is its own."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query; `labels` has ``__name__`` if the result kept it."""

    labels: dict[str, str]
    value: float
    unix: float


@dataclass(frozen=True, slots=True)
class Range:
    """One series of a range query; `points` are (Unix seconds, value), oldest first."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


class PrometheusApi:
    """The API of the Prometheus at `url` (no trailing slash)."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str, at_unix: float | None = None) -> list[Sample]:
        """The result of an instant query, now or at `at_unix`; a scalar is one sample without labels."""
        parameters = {"query": expression} | ({} if at_unix is None else {"time": f"{at_unix:.3f}"})
        data = self.get("/api/v1/query", parameters)
        if data["resultType"] == "scalar":
            return [_sample({}, data["result"])]
        return [_sample(one["metric"], one["value"]) for one in data["result"]]

    def query_range(self, expression: str, start_unix: float, end_unix: float, step_seconds: float) -> list[Range]:
        """The result of a range query."""
        parameters = {
            "query": expression,
            "start": f"{start_unix:.3f}",
            "end": f"{end_unix:.3f}",
            "step": f"{step_seconds:g}",
        }
        data = self.get("/api/v1/query_range", parameters)
        return [
            Range(one["metric"], tuple((float(at), float(value)) for at, value in one["values"]))
            for one in data["result"]
        ]

    def value(self, expression: str) -> float:
        """The value of the single series of `expression`; NaN for none or several."""
        samples = self.query(expression)
        return samples[0].value if len(samples) == 1 else math.nan

    def series(self, *matchers: str) -> list[dict[str, str]]:
        """The label sets of all series that match any of the selectors."""
        found: list[dict[str, str]] = self.get("/api/v1/series", [("match[]", one) for one in matchers])
        return found

    def label_values(self, label: str, *matchers: str) -> list[str]:
        """The values that `label` has in the series that match any of the selectors, or in all."""
        path = f"/api/v1/label/{urllib.parse.quote(label, safe='')}/values"
        found: list[str] = self.get(path, [("match[]", one) for one in matchers])
        return found

    def targets(self) -> list[dict[str, Any]]:
        """The active targets, with their ``health`` and ``lastError``."""
        active: list[dict[str, Any]] = self.get("/api/v1/targets", {"state": "active"})["activeTargets"]
        return active

    def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts."""
        active: list[dict[str, Any]] = self.get("/api/v1/alerts")["alerts"]
        return active

    def get(self, path: str, parameters: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> Any:
        """The ``data`` of one API answer; raises QueryError with Prometheus's own text."""
        body = urllib.parse.urlencode(parameters)
        try:
            with OPENER.open(f"{self.url}{path}?{body}", timeout=PATIENCE_SECONDS) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise QueryError(f"{path} {dict(parameters)}: {text}") from error


def _sample(labels: dict[str, str], pair: Sequence[Any]) -> Sample:
    at, value = pair
    return Sample(labels, float(value), float(at))
