"""For any changes of the numbers, a scrape equals prometheus_client's output for the same snapshot."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ApiError, Kind
from exporter.metrics.exposition import Format
from exporter.model import AccountStatus, Answer, PhoneNumber
from tests.support.exposing import Exposed

HOSTILE_CHARACTERS = st.one_of(st.sampled_from('\\"\n{},=# \r\t\x00\u2028é'), st.characters(codec="utf-8"))
HOSTILE = st.text(alphabet=HOSTILE_CHARACTERS, max_size=12)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: (
        not name.startswith("__")
        and name not in {"account", "cust_space_id", "phone_number", "phone_number_id", "name", "status"}
    )
)
STATUSES = st.one_of(st.sampled_from(["VERIFIED", "NOT_VERIFIED", "EXPIRED", "UNKNOWN"]), HOSTILE.filter(bool))
ACCOUNTS = ("main", 'other"\n\\')

NUMBERS = st.builds(
    PhoneNumber,
    account=st.sampled_from(ACCOUNTS),
    cust_space_id=HOSTILE,
    phone_number=st.integers(10_000, 10_005).map(str),
    label=HOSTILE,
    name=HOSTILE,
    labels=st.dictionaries(NAMES, HOSTILE, max_size=3).map(lambda found: tuple(found.items())),
)
FLEETS = st.lists(NUMBERS, max_size=6, unique_by=lambda number: number.key)

Step = Callable[[Exposed], None]


def configured(fleet: list[PhoneNumber], stale_after: float = 900.0) -> Step:
    return lambda exposed: exposed.state.configure(fleet, dict.fromkeys(ACCOUNTS, stale_after))


def reconfigured(stale_after: float) -> Step:
    """What was stale may be fresh again without a poll."""
    return lambda exposed: configured([r.number for r in exposed.state.snapshot().numbers], stale_after)(exposed)


def renamed(index: int, name: str) -> Step:
    def step(exposed: Exposed) -> None:
        fleet = [record.number for record in exposed.state.snapshot().numbers]
        if fleet:
            fleet[index % len(fleet)] = replace(fleet[index % len(fleet)], name=name)
            configured(fleet)(exposed)

    return step


def polled(index: int, outcome: Answer | ApiError) -> Step:
    def step(exposed: Exposed) -> None:
        records = exposed.state.snapshot().numbers
        if not records:
            return
        number = records[index % len(records)].number
        if isinstance(outcome, Answer):
            exposed.state.succeeded(number, outcome)
        else:
            exposed.state.failed(number, outcome)

    return step


def later(seconds: float) -> Step:
    return lambda exposed: exposed.clock.advance(seconds)


INDEXES = st.integers(0, 5)
ANSWERS = st.builds(Answer, status=STATUSES, phone_number_id=HOSTILE, request_id=HOSTILE)
STEPS = st.lists(
    st.one_of(
        st.builds(configured, FLEETS),
        st.builds(renamed, INDEXES, HOSTILE),
        st.builds(reconfigured, st.floats(1, 3000, allow_nan=False)),
        st.builds(polled, INDEXES, ANSWERS),
        st.builds(polled, INDEXES, st.just(ApiError("timeout", Kind.TRANSIENT))),
        st.builds(later, st.floats(0, 1000, allow_nan=False)),
    ),
    max_size=12,
)


@given(FLEETS, STEPS, st.sampled_from(Format))
def test_every_scrape_equals_the_reference(fleet: list[PhoneNumber], steps: list[Step], fmt: Format) -> None:
    """Scraped after each step, to test the parts that are kept from the last scrape."""
    exposed = Exposed(
        [AccountStatus(account, 3, 60.0, 0.1, 5.0, 2.5, 3, None, ACCOUNTS) for account in ACCOUNTS], ["time\nout"]
    )
    for step in (configured(fleet), *steps):
        step(exposed)
        shown = exposed.exposition.scrape(fmt)
        assert shown == exposed.reference(fmt)
        assert gzip.decompress(exposed.exposition.scrape(fmt, gzip=True)) == shown
