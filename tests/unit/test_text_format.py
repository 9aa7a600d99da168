"""Series and values in the exposition formats."""

from __future__ import annotations

import gc
import math

import pytest
from prometheus_client.utils import floatToGoString

from exporter.metrics.text_format import Series, escaped, format_around, format_labels

VALUES = (0.0, -0.0, 1.0, 0.1 + 0.2, 1e-9, 999_999.9, 1e6, 1_764_000_000.25, 1e21, -5.0, -1e9, math.inf, math.nan)


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_line_has_its_value_as_go_would_write_it(value: float) -> None:
    """From a million on Go writes an exponent, but Python does not."""
    assert Series("up").line(value) == f"up {floatToGoString(value)}\n"  # type: ignore[no-untyped-call] # the library's


def test_labels_come_in_the_order_of_their_names_and_escaped() -> None:
    labels = [("b", 'say "hi"\n'), ("a", "c:\\")]
    assert format_labels(labels) == r'a="c:\\",b="say \"hi\"\n"'
    assert Series("up", ("b", "a"), ('say "hi"\n', "c:\\")).line(1.0) == r'up{a="c:\\",b="say \"hi\"\n"} 1.0' + "\n"


def test_series_share_the_names_of_their_labels() -> None:
    """A hundred accounts have seven thousand series."""
    names = ("account", "operation")
    made = Series("up", names, ("main", "poll"))
    assert made.labels == (("account", "main"), ("operation", "poll"))
    assert any(each is names for each in gc.get_referents(made))


def test_pieces_around_gaps_join_to_the_whole() -> None:
    """Values that look like labels, or like the gap between rows, are kept."""
    labels = {"a": 'x",name="y', "name": "support", "number": "861", "z": "\\"}
    before, between, after = format_around(labels.items(), ("number", "name"))
    assert f"{before}support{between}861{after}" == format_labels(labels.items())


def test_a_gap_at_either_end_leaves_a_quote_to_close() -> None:
    assert format_around([("a", "1")], ("a",)) == ['a="', '"']


def test_text_without_anything_to_escape_is_not_copied() -> None:
    """Fifty thousand rows share the strings of the records."""
    text = "".join(list("861380"))
    assert escaped(text) is text
