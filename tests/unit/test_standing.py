"""When an operation is up."""

from __future__ import annotations

import pytest

from exporter.errors import ApiError, Kind
from exporter.model import NumberKey, PhoneNumber, Refused
from exporter.polling.standing import Standing
from tests.support.numbers import number

REFUSED = ApiError("Ram.PermissionDeny", Kind.PERMISSION, request_id="R-1")
A, B, C = number(1, space="a").key, number(2, space="b").key, number(3, space="a").key


def heard(*answers: tuple[NumberKey, ApiError | None], is_whole: bool = False) -> list[bool]:
    standing = Standing("ListInstance")
    ups = []
    for key, error in answers:
        was_up = standing.status.up
        assert standing.heard(key, error, is_whole=is_whole) == (was_up != standing.status.up)
        ups.append(standing.status.up)
    return ups


def test_it_is_up_until_it_is_asked() -> None:
    assert Standing("ListInstance").status.up


def test_a_refusal_brings_it_down_and_the_next_success_up() -> None:
    assert heard((A, None), (A, REFUSED), (A, REFUSED), (A, None)) == [True, False, False, True]


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.THROTTLE, Kind.NUMBER])
def test_a_failed_first_attempt_brings_it_down_until_the_first_success(kind: Kind) -> None:
    error = ApiError("x", kind)
    assert heard((A, error), (A, error), (A, None), (A, error)) == [False, False, True, True]


def test_an_answer_about_the_number_is_no_refusal() -> None:
    wrong = ApiError("InvalidParameter.PhoneNumber", Kind.NUMBER)
    assert heard((A, None), (A, REFUSED), (B, wrong)) == [True, False, True]


@pytest.mark.parametrize("error", [ApiError("t", Kind.TRANSIENT), ApiError("New", Kind.NUMBER, guessed=True)])
def test_an_error_that_says_nothing_of_permission_changes_nothing(error: ApiError) -> None:
    assert heard((A, None), (A, REFUSED), (A, error)) == [True, False, False]


def test_a_space_that_is_refused_already_does_not_bring_it_down_again() -> None:
    """Not even by another of its numbers; another space does."""
    assert heard((A, REFUSED), (B, None), (A, REFUSED), (C, REFUSED), (B, REFUSED)) == [False, True, True, True, False]


def test_a_space_that_was_accepted_meanwhile_brings_it_down_again() -> None:
    assert heard((A, REFUSED), (A, None), (A, REFUSED)) == [False, True, False]


def test_when_everything_is_refused_it_is_down_in_any_case() -> None:
    standing = Standing("ListInstance")
    for key, error in ((A, REFUSED), (B, None), (A, REFUSED)):
        standing.heard(key, error, is_whole=False)
    assert standing.status.up
    standing.heard(A, REFUSED, is_whole=True)
    assert not standing.status.up


def test_what_left_is_forgotten() -> None:
    standing = Standing("ListInstance")
    standing.heard(A, REFUSED, is_whole=False)
    standing.heard(B, None, is_whole=False)
    standing.configure([B])
    standing.heard(A, REFUSED, is_whole=False)
    assert not standing.status.up


def test_the_reason_does_not_name_the_number() -> None:
    each: PhoneNumber = number()
    standing = Standing("ListInstance")
    message = f"no permission for {each.phone_number}"
    standing.heard(each.key, ApiError("NoPermission", Kind.PERMISSION, message=message, request_id="R"), is_whole=False)
    assert standing.status.refused == Refused("NoPermission", "no permission for …", "R")


def test_it_is_clear_while_one_more_success_changes_nothing() -> None:
    standing, clear = Standing("ListInstance"), []
    for key, error in ((A, None), (A, REFUSED), (B, None), (A, None)):
        clear.append(standing.is_clear)
        standing.heard(key, error, is_whole=False)
    assert [*clear, standing.is_clear] == [False, True, False, False, True]
