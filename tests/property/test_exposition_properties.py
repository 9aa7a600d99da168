"""For any changes of the numbers, a scrape equals prometheus_client's output for the same snapshot."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.errors import ApiError, Kind
from exporter.metrics.catalogue import (
    CAN_SEND,
    CONNECTION_STATUS,
    NAME_STATUS,
    NUMBER_LABELS,
    QUALITY_RATING,
    STATUS,
)
from exporter.metrics.exposition import Format
from exporter.model import (
    AccountStatus,
    Answer,
    DiscoveryStatus,
    Health,
    HealthError,
    ListedNumber,
    Listing,
    OperationStatus,
    PhoneNumber,
    SpaceStatus,
)
from tests.support.exposing import Exposed

HOSTILE_CHARACTERS = st.one_of(st.sampled_from('\\"\n{},=# \r\t\x00\u2028é'), st.characters(codec="utf-8"))
HOSTILE = st.text(alphabet=HOSTILE_CHARACTERS, max_size=12)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: (
        not name.startswith("__")
        and name not in {"account", "cust_space_id", "phone_number", "phone_number_id", "name", "verified_name"}
    )
)
STATUSES = st.one_of(st.sampled_from(["VERIFIED", "NOT_VERIFIED", "EXPIRED", "UNKNOWN"]), HOSTILE.filter(bool))
ACCOUNTS = ("main", 'other"\n\\')

NUMBERS = st.builds(
    PhoneNumber,
    account=st.sampled_from(ACCOUNTS),
    cust_space_id=HOSTILE,
    phone_number=st.integers(10_000, 10_005).map(str),
    label=HOSTILE.filter(bool),
    name=HOSTILE,
    labels=st.dictionaries(NAMES, HOSTILE, max_size=3).map(lambda found: tuple(found.items())),
)
FLEETS = st.lists(NUMBERS, max_size=6, unique_by=lambda number: number.key)

Step = Callable[[Exposed], None]


def configured(fleet: list[PhoneNumber], *ages: float, with_fleet: bool = True) -> Step:
    """`with_fleet`: discover and health are configured for both accounts, else for none."""
    status, listing, health = ages or (900.0, 900.0, 900.0)
    more = {"listing_seconds": dict.fromkeys(ACCOUNTS, listing), "health_seconds": dict.fromkeys(ACCOUNTS, health)}
    return lambda exposed: exposed.state.configure(
        fleet, dict.fromkeys(ACCOUNTS, status), **(more if with_fleet else {})
    )


def reconfigured(ages: tuple[float, float, float], with_fleet: bool) -> Step:
    """What was stale may be fresh again without a poll."""
    return lambda exposed: configured(
        [r.number for r in exposed.state.snapshot().numbers], *ages, with_fleet=with_fleet
    )(exposed)


def health_changed(seconds: float, refused: frozenset[str]) -> Step:
    return lambda exposed: exposed.state.set_health(dict.fromkeys(ACCOUNTS, seconds), refused)


def renamed(index: int, name: str) -> Step:
    def step(exposed: Exposed) -> None:
        fleet = [record.number for record in exposed.state.snapshot().numbers]
        if fleet:
            fleet[index % len(fleet)] = replace(fleet[index % len(fleet)], name=name)
            configured(fleet)(exposed)

    return step


def to_one(index: int, change: Callable[[Exposed, PhoneNumber], object]) -> Step:
    def step(exposed: Exposed) -> None:
        records = exposed.state.snapshot().numbers
        if records:
            change(exposed, records[index % len(records)].number)

    return step


def polled(index: int, outcome: Answer | ApiError) -> Step:
    if isinstance(outcome, Answer):
        return to_one(index, lambda exposed, number: exposed.state.succeeded(number, outcome))
    return to_one(index, lambda exposed, number: exposed.state.failed(number, outcome))


def checked(index: int, outcome: Health | ApiError) -> Step:
    if isinstance(outcome, Health):
        return to_one(index, lambda exposed, number: exposed.state.checked(number, outcome))
    return to_one(index, lambda exposed, number: exposed.state.check_failed(number, outcome))


def listed(index: int, entry: ListedNumber | None, seen_seconds: float) -> Step:
    """A listing of the number's space now; without an entry it holds the number no longer, or never did."""

    def change(exposed: Exposed, number: PhoneNumber) -> None:
        now = exposed.clock.now
        if entry is not None:
            listing = Listing(True, now, now, entry)
        else:
            record = exposed.state.get(number.key)
            old = None if record is None or record.listing is None else record.listing.entry
            listing = Listing(False, now) if old is None else Listing(False, now, now - seen_seconds, old)
        exposed.state.listed({number.key: listing})

    return to_one(index, change)


def later(seconds: float) -> Step:
    return lambda exposed: exposed.clock.advance(seconds)


INDEXES = st.integers(0, 5)
ANSWERS = st.builds(Answer, status=STATUSES, phone_number_id=HOSTILE, request_id=HOSTILE)
VALUES = st.one_of(st.sampled_from(["", "CONNECTED", "BANNED", "RED", "GREEN", "UNKNOWN"]), HOSTILE)
ENTRIES = st.builds(
    ListedNumber,
    phone_number=st.just("10000"),
    connection_status=VALUES,
    quality_rating=VALUES,
    messaging_limit=st.sampled_from([None, 50.0, 1e6, float("inf")]),
    name_status=VALUES,
    verified_name=HOSTILE,
)
CHECKS = st.builds(
    Health,
    verdict=st.one_of(st.sampled_from(["AVAILABLE", "LIMITED", "BLOCKED", "UNKNOWN"]), HOSTILE.filter(bool)),
    errors=st.lists(st.builds(HealthError, HOSTILE, HOSTILE, HOSTILE), max_size=3).map(tuple),
)
FAILURE = st.just(ApiError("timeout", Kind.TRANSIENT))
AGES = st.floats(1, 3000, allow_nan=False)
STEPS = st.lists(
    st.one_of(
        st.builds(configured, FLEETS),
        st.builds(renamed, INDEXES, HOSTILE),
        st.builds(reconfigured, st.tuples(AGES, AGES, AGES), st.sampled_from([True, True, False])),
        st.builds(health_changed, AGES, st.frozensets(st.sampled_from(ACCOUNTS))),
        st.builds(polled, INDEXES, st.one_of(ANSWERS, FAILURE)),
        st.builds(listed, INDEXES, st.one_of(st.none(), ENTRIES), st.floats(0, 3000, allow_nan=False)),
        st.builds(checked, INDEXES, st.one_of(CHECKS, FAILURE)),
        st.builds(later, st.floats(0, 1000, allow_nan=False)),
    ),
    max_size=12,
)


@given(FLEETS, STEPS, st.sampled_from(Format))
def test_every_scrape_equals_the_reference(fleet: list[PhoneNumber], steps: list[Step], fmt: Format) -> None:
    """Scraped after each step, to test the parts that are kept from the last scrape."""
    exposed = Exposed([account_status(account) for account in ACCOUNTS], ["time\nout"])
    for step in (configured(fleet), *steps):
        step(exposed)
        shown = exposed.exposition.scrape(fmt)
        assert shown == exposed.reference(fmt)
        assert gzip.decompress(exposed.exposition.scrape(fmt, gzip=True)) == shown


@given(FLEETS, STEPS)
def test_exactly_one_state_of_each_set_is_1_and_no_series_occurs_twice(
    fleet: list[PhoneNumber], steps: list[Step]
) -> None:
    exposed = Exposed([account_status(account) for account in ACCOUNTS])
    unlike = list({(number.account, number.cust_space_id, number.label): number for number in fleet}.values())
    for step in (configured(unlike), *steps):
        step(exposed)
    records = exposed.state.snapshot().numbers
    if len({tuple(record.number.identity().values()) for record in records}) < len(records):
        return  # the configuration refuses equal labels
    families = text_string_to_metric_families(exposed.exposition.scrape(Format.TEXT).decode())
    ones: dict[tuple[str, ...], list[float]] = {}
    for family in families:
        series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(set(series)) == len(series)
        if family.name in STATE_SETS:
            for sample in family.samples:
                of = (family.name, *(sample.labels[name] for name in NUMBER_LABELS))
                ones.setdefault(of, []).append(sample.value)
    assert all(sorted(values)[-2:] in ([0.0, 1.0], [1.0]) for values in ones.values())
    assert {of[0] for of in ones} >= ({STATUS.name} if records else set())


STATE_SETS = {metric.name for metric in (STATUS, CONNECTION_STATUS, QUALITY_RATING, NAME_STATUS, CAN_SEND)}


def account_status(account: str) -> AccountStatus:
    """An account with a space that was listed, and one that was not."""
    return AccountStatus(
        account,
        3,
        60.0,
        0.1,
        5.0,
        2.5,
        3,
        None,
        ACCOUNTS,
        operations=(OperationStatus("Ask"), OperationStatus("List", up=False)),
        discovery=DiscoveryStatus({"a\n": SpaceStatus(3, 1_764_000_000.5), "b": SpaceStatus()}, left_out=2),
    )
