"""What is wrong with a number, and how urgent it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.ui.judgement import Facts, Level, alone, level, look, troubles, urgency

SENDS = Facts("VERIFIED", "CONNECTED", "GREEN", "APPROVED", "AVAILABLE", True)


@pytest.mark.parametrize(
    ("change", "expected", "runbook"),
    [
        ({"verdict": "BLOCKED"}, Level.CRITICAL, "CamsNumberCannotSend"),
        ({"connection": "BANNED"}, Level.CRITICAL, "CamsNumberDisconnected"),
        ({"connection": "DISCONNECTED"}, Level.CRITICAL, "CamsNumberDisconnected"),
        ({"connection": "A_NEW_ONE"}, Level.CRITICAL, "CamsNumberDisconnected"),
        ({"status": "NOT_VERIFIED"}, Level.CRITICAL, "CamsNumberNotVerified"),
        ({"status": "NOT_VERIFIED", "connection": ""}, Level.CRITICAL, "CamsNumberNotVerified"),
        ({"status": "NOT_VERIFIED", "connection": "PENDING"}, Level.WARNING, "CamsNumberNotVerified"),
        ({"status": "NOT_VERIFIED", "connection": "UNVERIFIED"}, Level.WARNING, "CamsNumberNotVerified"),
        ({"status": "REVOKED"}, Level.WARNING, "CamsNumberUnexpectedStatus"),
        ({"status": "UNKNOWN"}, Level.WARNING, "CamsNumberStatusUnknown"),
        ({"failing": True}, Level.WARNING, "CamsNumberFailing"),
        ({"listed": False}, Level.WARNING, "CamsNumbersVanished"),
        ({"verdict": "LIMITED"}, Level.WARNING, "CamsNumberSendingLimited"),
        ({"connection": "PENDING"}, Level.WARNING, "CamsNumberDisconnected"),
        ({"connection": "FLAGGED"}, Level.WARNING, "CamsNumberDisconnected"),
        ({"connection": "RATE_LIMITED"}, Level.WARNING, "CamsNumberDisconnected"),
        ({"connection": "UNKNOWN"}, Level.WARNING, "CamsNumberDisconnected"),
        ({"quality": "RED"}, Level.WARNING, "CamsNumberQualityLow"),
        ({"name_status": "DECLINED"}, Level.WARNING, "CamsNumberNameRejected"),
        ({"name_status": "Rejected"}, Level.WARNING, "CamsNumberNameRejected"),
        ({"verdict": "A_NEW_ONE"}, Level.INFO, "CamsNumberSendingLimited"),
        ({"status": "EXPIRED", "connection": ""}, Level.INFO, "CamsNumberExpired"),
        ({"status": "EXPIRED"}, Level.NONE, "CamsNumberExpired"),
        ({"status": "EXPIRED", "verdict": ""}, Level.NONE, "CamsNumberExpired"),
        ({"status": "EXPIRED", "verdict": "UNKNOWN"}, Level.NONE, "CamsNumberExpired"),
        ({"status": "EXPIRED", "verdict": "LIMITED"}, Level.WARNING, "CamsNumberSendingLimited"),
        ({"status": "EXPIRED", "verdict": "BLOCKED"}, Level.CRITICAL, "CamsNumberCannotSend"),
        ({"status": "EXPIRED", "connection": "BANNED"}, Level.CRITICAL, "CamsNumberDisconnected"),
    ],
)
def test_each_bad_value_has_the_level_and_the_runbook_of_its_alert(
    change: dict[str, object], expected: Level, runbook: str
) -> None:
    """One value differs from those of a number that sends."""
    facts = SENDS._replace(**change)  # type: ignore[arg-type] # fields of Facts
    assert level(facts) is expected
    assert troubles(facts)[0].runbook == runbook


@pytest.mark.parametrize(
    "facts", [SENDS, Facts("VERIFIED"), SENDS._replace(quality="YELLOW"), SENDS._replace(verdict="UNKNOWN")]
)
def test_nothing_is_said_of_a_number_that_sends_or_of_what_is_not_known(facts: Facts) -> None:
    assert troubles(facts) == ()
    assert level(facts) is Level.NONE


@pytest.mark.parametrize(
    ("about", "facts", "expected"),
    [
        ("status", SENDS, "good"),
        ("status", SENDS._replace(status="EXPIRED"), "plain"),
        ("status", Facts("EXPIRED"), "plain"),
        ("status", SENDS._replace(status="NOT_VERIFIED"), "bad"),
        ("status", SENDS._replace(status="NOT_VERIFIED", connection="PENDING"), "warn"),
        ("status", Facts("UNKNOWN"), "unknown"),
        ("status", Facts("<script>"), "odd"),
        ("connection", SENDS, "good"),
        ("connection", SENDS._replace(connection="BANNED"), "bad"),
        ("connection", SENDS._replace(connection="PENDING"), "warn"),
        ("connection", Facts("VERIFIED"), "unknown"),
        ("quality", SENDS, "good"),
        ("quality", SENDS._replace(quality="RED"), "warn"),
        ("quality", SENDS._replace(quality="YELLOW"), "plain"),
        ("quality", SENDS._replace(quality="UNKNOWN"), "unknown"),
        ("verdict", SENDS, "good"),
        ("verdict", SENDS._replace(verdict="BLOCKED"), "bad"),
        ("verdict", SENDS._replace(verdict="LIMITED"), "warn"),
        ("verdict", SENDS._replace(verdict="UNKNOWN"), "unknown"),
        ("verdict", SENDS._replace(verdict="NEW"), "odd"),
        ("name_status", SENDS, "plain"),
        ("name_status", SENDS._replace(name_status="DECLINED"), "warn"),
    ],
)
def test_each_value_looks_as_urgent_as_it_is(about: str, facts: Facts, expected: str) -> None:
    assert look(about, facts) == expected


def test_what_cannot_send_comes_before_what_may_and_what_sends_comes_last() -> None:
    """BLOCKED, BANNED, NOT_VERIFIED, warnings, EXPIRED that may send, EXPIRED that sends, VERIFIED."""
    order = [
        SENDS._replace(verdict="BLOCKED", status="EXPIRED"),
        SENDS._replace(connection="BANNED"),
        SENDS._replace(status="NOT_VERIFIED"),
        SENDS._replace(status="NOT_VERIFIED", connection="PENDING"),
        SENDS._replace(status="REVOKED"),
        Facts("UNKNOWN"),
        SENDS._replace(failing=True),
        SENDS._replace(listed=False),
        SENDS._replace(verdict="LIMITED"),
        SENDS._replace(connection="FLAGGED"),
        SENDS._replace(quality="RED"),
        SENDS._replace(name_status="DECLINED"),
        Facts("EXPIRED"),
        SENDS._replace(status="EXPIRED"),
        SENDS,
    ]
    places = [urgency(facts) for facts in order]
    assert places == sorted(set(places))


def test_a_trouble_tells_its_value() -> None:
    (trouble,) = troubles(SENDS._replace(connection="BANNED"))
    assert trouble.said_of(SENDS._replace(connection="BANNED")) == "The number cannot send: its connection is BANNED."


VALUES = st.text(max_size=8)
FACTS = st.builds(
    Facts,
    status=st.sampled_from(["VERIFIED", "NOT_VERIFIED", "EXPIRED", "UNKNOWN"]) | VALUES,
    connection=st.sampled_from(["", "CONNECTED", "PENDING", "BANNED", "UNVERIFIED"]) | VALUES,
    quality=st.sampled_from(["", "GREEN", "YELLOW", "RED", "UNKNOWN"]) | VALUES,
    name_status=st.sampled_from(["", "APPROVED", "DECLINED"]) | VALUES,
    verdict=st.sampled_from(["", "AVAILABLE", "LIMITED", "BLOCKED", "UNKNOWN"]) | VALUES,
    listed=st.sampled_from([None, True, False]),
    failing=st.booleans(),
)


@given(FACTS, FACTS)
def test_a_more_urgent_level_always_comes_first(one: Facts, other: Facts) -> None:
    if level(one) < level(other):
        assert urgency(one) < urgency(other)


@given(FACTS)
def test_only_a_number_that_is_known_to_send_may_read_expired_without_a_word(facts: Facts) -> None:
    """It must look like an alarm in no case: what else is wrong has its own place."""
    expired = facts._replace(status="EXPIRED")
    assert look("status", expired) == "plain"
    said = next(trouble for trouble in troubles(expired) if trouble.about == "status")
    sends = facts.connection == "CONNECTED" and facts.verdict != "BLOCKED"
    assert said.level is (Level.NONE if sends else Level.INFO)


@given(FACTS)
def test_every_text_says_the_value_or_needs_none(facts: Facts) -> None:
    for trouble in troubles(facts):
        assert ("{}" in trouble.what) <= (str(getattr(facts, trouble.about)) in trouble.said_of(facts))


@pytest.mark.parametrize("about", ["status", "connection", "quality", "verdict"])
def test_a_value_alone_is_judged_without_the_others(about: str) -> None:
    assert getattr(alone(about, "x"), about) == "x"
    assert alone(about, "x")._replace(**{about: ""}) == Facts()  # type: ignore[arg-type] # texts
