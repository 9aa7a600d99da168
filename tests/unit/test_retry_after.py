"""The wait that an answer asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from exporter.cams.retry_after import http_date, retry_after

NOW = 1698315752.0
"""Thu, 26 Oct 2023 10:22:32 GMT."""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-acs-retry-after": "2000"}, 2.0),
        ({"X-Acs-Retry-After": " 1500 "}, 1.5),
        ({"x-acs-retry-after": "0"}, 0.0),
        ({"x-acs-retry-after": "9" * 18}, 60.0),
        ({"x-acs-retry-after": "9" * 5000}, None),
        ({"x-acs-retry-after": "-5"}, None),
        ({"x-acs-retry-after": "1e3"}, None),
        ({"x-acs-retry-after": "soon"}, None),
        ({"x-acs-retry-after": "٣"}, None),
        ({"x-ratelimit-user-api": "Limit:1,Remain:0,TimeLeft:2000,Reset:1234"}, 2.0),
        ({"x-ratelimit-user": "limit:1, timeleft: 250"}, 0.25),
        ({"x-ratelimit-user": "TimeLeft:100000000"}, 60.0),
        ({"x-ratelimit-user": "NotTimeLeft:5"}, None),
        ({"x-ratelimit-user": "TimeLeft:"}, None),
        ({"x-ratelimit-user-api": "TimeLeft:1000", "x-ratelimit-user": "TimeLeft:3000"}, 3.0),
        ({"x-acs-retry-after": "1000", "x-ratelimit-user": "TimeLeft:3000"}, 1.0),
        ({"x-acs-retry-after": "soon", "x-ratelimit-user": "TimeLeft:3000"}, 3.0),
        ({"Retry-After": "20"}, 20.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"Retry-After": "120"}, 60.0),
        ({"Retry-After": "9" * 18}, 60.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "10, 20"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 26 Oct 2023 10:22:52 GMT"}, 20.0),
        ({"Retry-After": "Thu, 26 Oct 2023 10:22:32 GMT"}, 0.0),
        ({"Retry-After": "Thu, 26 Oct 2023 09:22:32 GMT"}, 0.0),
        ({"Retry-After": "Fri, 27 Oct 2023 10:22:32 GMT"}, 60.0),
        ({"Retry-After": "Thursday, 26-Oct-23 10:22:52 GMT"}, 20.0),
        ({"Retry-After": "Thu Oct 26 10:22:52 2023"}, 20.0),
        ({"Retry-After": "Thu, 26 Oct 2023 11:00:30 GMT", "Date": "Thu, 26 Oct 2023 11:00:00 GMT"}, 30.0),
        ({"Retry-After": "Thu, 26 Oct 2023 10:22:52 GMT", "Date": "today"}, 20.0),
        ({"Retry-After": "20", "x-acs-retry-after": "1500"}, 20.0),
        ({"Retry-After": "1", "x-acs-retry-after": "1500"}, 1.5),
        ({"Retry-After": "1", "x-ratelimit-user": "TimeLeft:3000"}, 1.0),
        ({"Retry-After": "soon", "x-ratelimit-user": "TimeLeft:3000"}, 3.0),
    ],
)
def test_the_wait_that_a_throttle_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    """In either header, at most 60 s.  An invalid value is ignored; a time in the past means no wait."""
    assert retry_after(CaseInsensitiveDict(headers), NOW, throttled=True) == seconds


NAMES = ["retry-after", "x-acs-retry-after", "x-ratelimit-user-api", "x-ratelimit-user", "date"]
dates = st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
values = dates | st.integers().map(str) | st.text() | st.binary().map(lambda raw: raw.decode("latin-1"))


@given(st.dictionaries(st.sampled_from(NAMES), values), st.floats(0, 4e9), st.booleans())
def test_the_wait_is_bounded_for_any_headers(headers: dict[str, str], now: float, throttled: bool) -> None:
    seconds = retry_after(CaseInsensitiveDict(headers), now, throttled=throttled)
    assert seconds is None or 0.0 <= seconds <= 60.0


@pytest.mark.parametrize(
    ("date", "unix"),
    [
        ("Thu, 26 Oct 2023 10:22:32 GMT", 1698315752.0),
        ("Thu, 26 Oct 2023 12:22:32 +0200", 1698315752.0),
        ("Thu, 26 Oct 2023 10:22:32 -0000", 1698315752.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Thu, 26 Oct 2023 99:22:32 GMT", None),
        ("", None),
        ("yesterday", None),
        ("1698315752", None),
        ("Thu, 26 Oct 2023 10:22:32 +99999999999999", None),
    ],
)
def test_a_date_is_a_time_or_nothing(date: str, unix: float | None) -> None:
    assert http_date(date) == unix
