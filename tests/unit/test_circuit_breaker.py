"""When an account or a space counts as refused, and which number is the probe."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from exporter.errors import ApiError, Kind
from exporter.model import NumberKey, Refused
from exporter.polling.circuit_breaker import CircuitBreakers

PACE = 5.0


def key(index: int = 0, space: str = "cams-a") -> NumberKey:
    return NumberKey("main", space, f"86138{index:08d}")


def keys(count: int, space: str = "cams-a") -> list[NumberKey]:
    return [key(index, space) for index in range(count)]


def error(kind: Kind, code: str = "Some.Code") -> ApiError:
    return ApiError(code, kind)


def watching(*numbers: NumberKey) -> CircuitBreakers:
    breakers = CircuitBreakers()
    breakers.configure(dict.fromkeys(numbers).keys())
    return breakers


def refused(*numbers: NumberKey) -> CircuitBreakers:
    """An account that was refused at 100."""
    breakers = watching(*(numbers or keys(3)))
    for _ in range(3):
        breakers.heard(key(), error(Kind.ACCOUNT), 100.0)
    return breakers


def forbid(breakers: CircuitBreakers, numbers: Iterable[NumberKey], now: float = 100.0) -> list[str | None]:
    """Each of the numbers gets an error of permission; returns the scopes that changed."""
    return [
        breaker.space for each in numbers for breaker in breakers.heard(each, error(Kind.PERMISSION, "Forbidden"), now)
    ]


def probed(
    breakers: CircuitBreakers, now: float, busy: Iterable[NumberKey] = (), *, interval: float = 60.0
) -> NumberKey | None:
    return breakers.probe(now, interval, lambda each: each not in busy)


class TestAccount:
    """Three account errors in a row."""

    def test_three_account_errors_in_a_row_refuse_the_account(self) -> None:
        breakers = watching(*keys(3))
        for _ in range(2):
            assert breakers.heard(key(), error(Kind.ACCOUNT), 100.0) == []
            assert not breakers.account.is_open
        assert breakers.heard(key(), error(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"), 100.0) == [breakers.account]
        assert breakers.account.is_open
        assert breakers.reason is not None
        assert breakers.reason.code == "InvalidAccessKeyId.NotFound"

    def test_an_account_without_a_credential_is_refused_at_once(self) -> None:
        """No request was sent, and another number would fail in the same way.  One number an hour must not take
        hours."""
        breakers = watching(key())
        missing = ApiError("credentials_error", Kind.ACCOUNT, sent=False)
        assert breakers.heard(key(), missing, 100.0) == [breakers.account]
        assert breakers.reason == Refused("credentials_error")
        assert breakers.heard(key(), None, 200.0) == [breakers.account]
        assert not breakers.account.is_open

    @pytest.mark.parametrize("between", [None, Kind.NUMBER, Kind.PERMISSION])
    def test_any_answer_that_shows_an_accepted_key_resets_the_count(self, between: Kind | None) -> None:
        breakers = watching(*keys(3))
        for _ in range(5):
            breakers.heard(key(), error(Kind.ACCOUNT), 100.0)
            breakers.heard(key(), error(Kind.ACCOUNT), 100.0)
            breakers.heard(key(), None if between is None else error(between), 100.0)
        assert not breakers.account.is_open

    @pytest.mark.parametrize("kind", [Kind.THROTTLE, Kind.TRANSIENT])
    def test_other_errors_in_between_do_not_reset_the_count(self, kind: Kind) -> None:
        """A time-out says nothing about the key."""
        breakers = watching(*keys(3))
        for _ in range(3):
            breakers.heard(key(), error(Kind.ACCOUNT), 100.0)
            breakers.heard(key(), error(kind), 100.0)
        assert breakers.account.is_open

    @pytest.mark.parametrize("kind", [Kind.THROTTLE, Kind.TRANSIENT, Kind.NUMBER, Kind.PERMISSION])
    def test_only_account_errors_refuse(self, kind: Kind) -> None:
        breakers = watching(*keys(3))
        for _ in range(10):
            breakers.heard(key(), error(kind), 100.0)
        assert not breakers.account.is_open

    @pytest.mark.parametrize("answer", [None, Kind.NUMBER, Kind.PERMISSION])
    def test_a_probe_that_shows_that_the_key_is_accepted_restores_the_account(self, answer: Kind | None) -> None:
        breakers = refused()
        assert breakers.heard(key(), None if answer is None else error(answer), 200.0) == [breakers.account]
        assert not breakers.account.is_open

    def test_an_unknown_code_does_not_restore_the_account_and_does_not_count(self) -> None:
        """A new 403 may be another code for a refused account."""
        guess = ApiError("AccessDenied", Kind.NUMBER, guessed=True)
        breakers = refused()
        breakers.heard(key(), guess, 200.0)
        assert breakers.account.is_open
        breakers = watching(*keys(3))
        for known in (True, True, False, False):
            breakers.heard(key(), error(Kind.ACCOUNT) if known else guess, 100.0)
        assert not breakers.account.is_open
        breakers.heard(key(), error(Kind.ACCOUNT), 100.0)
        assert breakers.account.is_open

    @pytest.mark.parametrize(("interval", "wait"), [(60.0, 60.0), (1.0, 10.0)])
    def test_it_is_probed_once_per_interval_and_at_most_once_in_ten_seconds(self, interval: float, wait: float) -> None:
        breakers = refused()
        assert breakers.probe_at(interval, PACE) == 100.0 + wait
        probed(breakers, 500.0)
        breakers.heard(key(), error(Kind.ACCOUNT), 501.0)
        assert breakers.probe_at(interval, PACE) == 500.0 + wait

    def test_something_that_may_have_ended_it_is_probed_soon_but_not_within_ten_seconds(self) -> None:
        breakers = refused()
        breakers.probe_soon()
        assert breakers.probe_at(3600.0, PACE) == 110.0
        probed(breakers, 120.0)
        assert breakers.probe_at(3600.0, PACE) == 3720.0

    def test_a_probe_that_says_nothing_is_repeated_less_and_less_often_but_once_a_minute(self) -> None:
        """Until the next conclusive answer; then the interval counts again."""
        breakers = refused()
        gaps, now = [], 3700.0
        for _ in range(5):
            asked = probed(breakers, now)
            assert asked is not None
            breakers.heard(asked, error(Kind.TRANSIENT), now + 1)
            breakers.probe_again(asked)
            gaps.append(breakers.probe_at(3600.0, PACE) - now)
            now += gaps[-1]
        assert gaps == [10.0, 20.0, 40.0, 60.0, 60.0]
        assert breakers.probe_at(30.0, PACE) == now - 30.0, "no less often than it would be anyway"
        probed(breakers, now)
        breakers.heard(key(), error(Kind.ACCOUNT), now)
        assert breakers.probe_at(3600.0, PACE) == now + 3600.0
        probed(breakers, now + 3600.0)
        breakers.probe_again(key())
        assert breakers.probe_at(3600.0, PACE) == now + 3610.0

    def test_the_number_that_last_succeeded_is_probed_first_and_then_the_others_in_turn(self) -> None:
        """Whatever the answer about one number is, the others are polled too."""
        breakers = watching(*keys(4))
        breakers.heard(key(2), None, 90.0)
        for _ in range(3):
            breakers.heard(key(), error(Kind.ACCOUNT), 100.0)
        turn = [probed(breakers, 110.0 + place) for place in range(8)]
        assert turn == [key(index) for index in (2, 0, 1, 3, 2, 0, 1, 3)]

    def test_a_number_that_is_under_way_is_passed_over(self) -> None:
        breakers = refused(*keys(2))
        assert probed(breakers, 110.0, busy=[key(0)]) == key(1)
        assert probed(breakers, 120.0, busy=keys(2)) is None
        assert breakers.probe_at(60.0, PACE) == 180.0

    def test_a_reload_keeps_the_turn_and_adds_new_numbers_at_its_end(self) -> None:
        breakers = refused(*keys(3))
        probed(breakers, 110.0)
        breakers.configure(dict.fromkeys([key(0), key(2), key(9)]).keys())
        assert [probed(breakers, 120.0) for _ in range(3)] == [key(2), key(0), key(9)]


class TestSpaces:
    """A space is refused while each of its numbers is."""

    def test_a_space_is_refused_when_all_of_its_numbers_are(self) -> None:
        breakers = watching(*keys(3), *keys(2, "cams-b"))
        assert forbid(breakers, keys(2)) == []
        assert forbid(breakers, [key(2)]) == ["cams-a"]
        assert breakers.refused_spaces.keys() == {"cams-a"}
        assert breakers.reason is None
        assert all(breakers.is_held(each) for each in keys(3))
        assert not any(breakers.is_held(each) for each in keys(2, "cams-b"))

    def test_a_space_of_one_number_is_refused_by_that_one(self) -> None:
        breakers = watching(key(), key(0, "cams-b"))
        assert forbid(breakers, [key()]) == ["cams-a"]

    def test_the_same_number_often_is_not_all_of_them(self) -> None:
        breakers = watching(*keys(2))
        assert forbid(breakers, [key()] * 10) == []

    @pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.THROTTLE, Kind.ACCOUNT])
    def test_what_says_nothing_of_permission_changes_nothing(self, kind: Kind) -> None:
        breakers = watching(*keys(2))
        forbid(breakers, [key()])
        breakers.heard(key(), error(kind), 100.0)
        assert forbid(breakers, [key(1)]) == ["cams-a"]
        breakers.heard(key(), error(kind), 110.0)
        assert breakers.refused_spaces.keys() == {"cams-a"}

    @pytest.mark.parametrize("answer", [None, Kind.NUMBER])
    def test_one_accepted_number_restores_its_space(self, answer: Kind | None) -> None:
        breakers = watching(*keys(3))
        forbid(breakers, keys(3))
        (space,) = breakers.heard(key(1), None if answer is None else error(answer), 200.0)
        assert (space.space, space.is_open, list(space.turn)) == ("cams-a", False, [key(0), key(2)])
        assert not breakers.refused_spaces
        assert not any(breakers.is_held(each) for each in keys(3))

    def test_the_account_is_refused_when_all_spaces_are(self) -> None:
        breakers = watching(key(), key(0, "cams-b"))
        forbid(breakers, [key()])
        assert breakers.reason is None
        forbid(breakers, [key(0, "cams-b")])
        assert getattr(breakers.reason, "code", None) == "Forbidden"
        breakers.heard(key(), None, 200.0)
        assert getattr(breakers.reason, "code", None) is None

    def test_the_reason_names_no_number(self) -> None:
        """It may be masked after a reload, and the refusal concerns more than that number."""
        breakers = watching(key())
        breakers.heard(key(), ApiError("Forbidden", Kind.PERMISSION, message=f"{key().phone_number}: no"), 100.0)
        assert breakers.refused_spaces == {"cams-a": Refused("Forbidden", "…: no")}

    def test_an_account_without_numbers_is_not_refused(self) -> None:
        assert watching().reason is None
        assert not watching().open_spaces

    def test_its_numbers_are_probed_in_turn_once_per_interval(self) -> None:
        breakers = watching(*keys(3))
        forbid(breakers, keys(3))
        at = []
        for _ in range(4):
            now = breakers.probe_at(60.0, PACE)
            found = probed(breakers, now)
            assert found is not None
            forbid(breakers, [found], now)
            at.append((now, found))
        assert at == [(160.0, key(0)), (220.0, key(1)), (280.0, key(2)), (340.0, key(0))]

    def test_the_probes_of_all_spaces_take_a_tenth_of_the_budget_and_none_is_left_out(self) -> None:
        spaces = [key(0, f"cams-{index}") for index in range(200)]
        breakers = watching(*spaces)
        forbid(breakers, spaces)
        asked, now = [], 0.0
        for _ in range(200):
            now = max(now, breakers.probe_at(60.0, PACE))
            asked.append((now, probed(breakers, now)))
        assert {found for _, found in asked} == set(spaces)
        assert all(after - before >= 10 / PACE - 1e-9 for (before, _), (after, _) in itertools.pairwise(asked))

    def test_another_credential_is_a_reason_to_probe_all_of_them_soon(self) -> None:
        breakers = watching(key(), key(0, "cams-b"))
        forbid(breakers, [key(), key(0, "cams-b")])
        breakers.probe_soon()
        assert breakers.probe_at(3600.0, PACE) == 110.0
        probed(breakers, 110.0)
        assert breakers.probe_at(3600.0, PACE) == 112.0

    def test_a_space_with_an_inconclusive_probe_goes_before_spaces_that_wait_for_their_interval(self) -> None:
        """Not before due ones: a space that never answers does not keep other spaces from their probes."""
        spaces = [key(0, f"cams-{index}") for index in range(3)]
        breakers = watching(*spaces)
        forbid(breakers, spaces)
        asked: list[tuple[float, int]] = []
        now = 3700.0
        while len(asked) < 12:
            found = probed(breakers, now, interval=3600.0)
            assert found is not None
            asked.append((now, spaces.index(found)))
            if found == spaces[0]:
                breakers.probe_again(found)
            else:
                forbid(breakers, [found], now)
            now = breakers.probe_at(3600.0, PACE)
        assert [place for at, place in asked[:4]] == [0, 1, 2, 0]
        assert {place for at, place in asked[3:]} == {0}
        assert asked[-1][0] - asked[-2][0] == 60.0
        forbid(breakers, [spaces[0]], now)
        breakers.heard(spaces[0], None, now)
        assert probed(breakers, breakers.probe_at(3600.0, PACE), interval=3600.0) == spaces[1]

    def test_a_refused_account_is_probed_before_its_spaces(self) -> None:
        breakers = watching(*keys(2), key(0, "cams-b"))
        forbid(breakers, keys(2), now=50.0)
        for _ in range(3):
            breakers.heard(key(0, "cams-b"), error(Kind.ACCOUNT), 100.0)
        assert breakers.probe_at(60.0, PACE) == 160.0
        assert probed(breakers, 160.0) == key(0)
        assert breakers.probe_at(60.0, PACE) == 220.0

    def test_a_number_that_joins_a_refused_space_is_not_held_and_does_not_restore_it(self) -> None:
        breakers = watching(*keys(2))
        forbid(breakers, keys(2))
        breakers.configure(dict.fromkeys(keys(3)).keys())
        assert breakers.refused_spaces
        assert not breakers.is_held(key(2))
        forbid(breakers, [key(2)])
        assert breakers.is_held(key(2))

    def test_a_space_that_leaves_is_forgotten(self) -> None:
        breakers = watching(*keys(2), key(0, "cams-b"))
        forbid(breakers, keys(2))
        breakers.configure(dict.fromkeys([key(0, "cams-b")]).keys())
        assert not breakers.refused_spaces
        assert breakers.spaces == ("cams-b",)
        assert not breakers.open_spaces
