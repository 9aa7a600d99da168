"""The value types that travel through the exporter."""

from __future__ import annotations

from tests.support.numbers import number


def test_no_repr_shows_a_number_that_is_hidden() -> None:
    """Neither the number's own nor that of its key, which turns up in reprs of dicts and tuples."""
    hidden = number(label="hidden-number")
    for shown in (repr(hidden), repr(hidden.key), str(hidden.key), f"{hidden.key}", repr({hidden.key: 1})):
        assert hidden.phone_number not in shown
        assert hidden.cust_space_id in shown
