"""Finds the names in a PromQL expression.  It knows only a part of the syntax; Prometheus checks it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STRING = r'"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(rf"([a-zA-Z_:][\w:]*)?\s*\{{((?:[^{{}}\"]|{_STRING})*)\}}")
_MATCHER = re.compile(rf"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*{_STRING}")
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_NAME = re.compile(r"(?<![\w:$.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"})


@dataclass(frozen=True, slots=True)
class Names:
    """The names of an expression: `selected` has the matched labels of each metric, `listed` the grouped-by labels."""

    selected: dict[str, frozenset[str]]
    listed: frozenset[str]


def names(expression: str) -> Names:
    """The metrics and labels of an expression; raises ValueError for a selector without a metric."""
    selected: dict[str, frozenset[str]] = {}
    for metric, matchers in _SELECTOR.findall(expression):
        if not metric:
            raise ValueError(f"{{{matchers}}} selects by labels alone")
        selected[metric] = selected.get(metric, frozenset()) | frozenset(_MATCHER.findall(matchers))
    rest = re.sub(_STRING, "", _SELECTOR.sub("", expression))
    listed = {label.strip() for found in _LABEL_LIST.findall(rest) for label in found.split(",")} - {""}
    rest = re.sub(r"\[[^\]]*\]", "", _LABEL_LIST.sub("", rest))
    for name in set(_NAME.findall(rest)) - _KEYWORDS:
        selected.setdefault(name, frozenset())
    return Names(selected, frozenset(listed))
