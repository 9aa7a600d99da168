"""The simulator's decisions: each documented refusal, the limit, and their order."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from exporter.simulator import Cycle, Key, Refusal, Throttle, World, faults
from exporter.simulator.gateway import Decision, decide
from exporter.simulator.messages import Reply
from tests.support.clock import FakeClock
from tests.support.simulated import KEY, PHONE, SECRET, SPACE, Call, care_world


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=64.0)


@pytest.fixture
def world(clock: FakeClock) -> World:
    return care_world(clock=clock)


def ask(world: World, call: Call | None = None, **changes: Any) -> Reply:
    return judge(world, call, **changes).reply


def judge(world: World, call: Call | None = None, **changes: Any) -> Decision:
    """The decision on a call with the current date of the test's clock."""
    return decide(world, replace(call or Call(unix=world.clock.unix()), **changes).request())


def document(reply: Reply) -> Any:
    return json.loads(reply.body)


def test_a_signed_request_gets_the_documented_success(world: World) -> None:
    reply = ask(world)
    answer = document(reply)
    assert reply.status == 200
    assert (answer["Code"], answer["Message"]) == ("OK", "None")
    assert answer["Data"] == {
        "PhoneNumber": PHONE,
        "Id": world.find_numbers(PHONE)[0].id,
        "CodeVerificationStatus": "VERIFIED",
    }
    assert re.fullmatch(r"[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}", answer["RequestId"])
    assert reply.headers["x-acs-request-id"] == answer["RequestId"]


def test_a_refusal_has_the_documented_shape(world: World) -> None:
    reply = ask(world, key="nobody")
    answer = document(reply)
    assert set(answer) == {"RequestId", "HostId", "Code", "Message", "Recommend"}
    assert answer["HostId"] == "cams.ap-southeast-1.aliyuncs.com"
    assert answer["RequestId"] in answer["Recommend"]


def test_parameters_may_come_as_a_form(world: World) -> None:
    """Older SDKs send them in the body."""
    assert ask(world, query={}, form={"CustSpaceId": SPACE, "PhoneNumber": PHONE}).outcome == "OK"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"path": "/other"}, 404, "InvalidAction.NotFound"),
        ({"method": "PUT"}, 404, "InvalidAction.NotFound"),
        ({"changed": {"x-acs-action": "SendSms"}}, 404, "InvalidAction.NotFound"),
        ({"changed": {"x-acs-version": "2019-01-01"}}, 400, "InvalidVersion"),
        ({"key": "nobody"}, 404, "InvalidAccessKeyId.NotFound"),
        ({"secret": "wrong"}, 400, "SignatureDoesNotMatch"),
        ({"changed": {"x-acs-content-sha256": "0" * 64}, "form": {"a": "b"}}, 400, "SignatureDoesNotMatch"),
        ({"changed": {"x-acs-signature-nonce": None}}, 400, "IncompleteSignature"),
        ({"changed": {"x-acs-date": "2026-01-01 00:00:00"}}, 400, "InvalidTimeStamp.Format"),
        ({"token": "unexpected"}, 400, "InvalidSecurityToken.Expired"),
        ({"query": {"PhoneNumber": PHONE}}, 400, "MissingCustSpaceId"),
        ({"query": {"CustSpaceId": SPACE}}, 400, "MissingPhoneNumber"),
        ({"query": {"CustSpaceId": SPACE, "PhoneNumber": "+" + PHONE}}, 400, "InvalidParameter.PhoneNumber"),
        ({"query": {"CustSpaceId": SPACE, "PhoneNumber": "44 7700"}}, 400, "InvalidParameter.PhoneNumber"),
        ({"query": {"CustSpaceId": SPACE, "PhoneNumber": "٤٤"}}, 400, "InvalidParameter.PhoneNumber"),
        ({"query": {"CustSpaceId": SPACE, "PhoneNumber": "12025550199"}}, 400, "Unknown.ResourceOwnerId"),
        ({"query": {"CustSpaceId": "cams-other", "PhoneNumber": PHONE}}, 400, "Unknown.ResourceOwnerId"),
    ],
)
def test_each_wrong_request_has_its_code(world: World, changes: dict[str, Any], status: int, code: str) -> None:
    reply = ask(world, **changes)
    assert (reply.status, document(reply)["Code"]) == (status, code)


def test_a_request_without_authorization_is_incomplete(world: World) -> None:
    request = Call(unix=world.clock.unix()).request()
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    assert decide(world, replace(request, headers=headers)).reply.outcome == "IncompleteSignature"


def test_the_answer_to_a_wrong_signature_has_the_string_to_sign(world: World) -> None:
    message = document(ask(world, secret="wrong"))["Message"]
    assert re.search(r"server string to sign is:ACS3-HMAC-SHA256\n[0-9a-f]{64}$", message)


def test_a_nonce_serves_once(world: World) -> None:
    assert ask(world, nonce="n").outcome == "OK"
    assert ask(world, nonce="n").outcome == "SignatureNonceUsed"


def test_a_nonce_is_not_used_up_by_a_request_that_was_not_signed_right(world: World) -> None:
    ask(world, nonce="n", secret="wrong")
    assert ask(world, nonce="n").outcome == "OK"


def test_a_nonce_is_forgotten_after_many_others(world: World) -> None:
    """Memory is bounded: a soak test sends millions."""
    assert world.is_new_nonce(KEY, "first")
    for place in range(100_000):
        world.is_new_nonce(KEY, str(place))
    assert not world.is_new_nonce(KEY, "99999")
    assert world.is_new_nonce(KEY, "first")


@pytest.mark.parametrize(("skew", "code"), [(899, "OK"), (-899, "OK"), (901, "expired"), (-901, "expired")])
def test_a_date_more_than_15_minutes_off_is_expired(world: World, skew: int, code: str) -> None:
    expected = "OK" if code == "OK" else "InvalidTimeStamp.Expired"
    assert ask(world, unix=world.clock.unix() + skew).outcome == expected


def test_a_skewed_service_shows_its_own_date_and_wants_dates_by_it(world: World) -> None:
    """A client needs this to measure the skew, and to sign correctly after that."""
    world.clock_skew_seconds = 3600
    refused = ask(world)
    assert refused.outcome == "InvalidTimeStamp.Expired"
    service_unix = parsedate_to_datetime(refused.headers["Date"]).timestamp()
    assert service_unix == world.clock.unix() + 3600
    assert ask(world, unix=service_unix).outcome == "OK"


def test_a_temporary_key_needs_its_token(world: World) -> None:
    world.set_key("care", "sts-key", Key("sts-secret", "token"))
    temporary = Call(key="sts-key", secret="sts-secret", unix=world.clock.unix())
    assert ask(world, temporary, token="token").outcome == "OK"
    assert ask(world, temporary).outcome == "MissingSecurityToken"
    assert ask(world, temporary, token="older").outcome == "InvalidSecurityToken.Expired"


def test_a_key_is_rotated_while_requests_run(world: World) -> None:
    world.set_key("care", "new-key", Key("new-secret"))
    world.remove_key(KEY)
    assert ask(world).outcome == "InvalidAccessKeyId.NotFound"
    assert ask(world, key="new-key", secret="new-secret").outcome == "OK"


def test_an_inactive_key_is_refused(world: World) -> None:
    world.set_key("care", KEY, Key(SECRET, active=False))
    assert ask(world).outcome == "InvalidAccessKeyId.Inactive"


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Refusal.UNSUBSCRIBED, 400, "Product.Unsubscript"),
        (Refusal.FORBIDDEN, 403, "Forbidden.RAM"),
        (Refusal.PERMISSION_DENIED, 400, "Ram.PermissionDeny"),
    ],
)
def test_an_account_is_refused_as_a_whole_until_that_is_fixed(
    world: World, refusal: Refusal, status: int, code: str
) -> None:
    world.accounts["care"].refusal = refusal
    reply = ask(world)
    assert (reply.status, reply.outcome) == (status, code)
    world.accounts["care"].refusal = None
    assert ask(world).outcome == "OK"


def test_ten_requests_a_sliding_second_and_no_more(world: World, clock: FakeClock) -> None:
    outcomes = []
    for _ in range(32):
        outcomes.append(ask(world).outcome)
        clock.advance(1 / 16)
    assert outcomes == 2 * (10 * ["OK"] + 6 * ["Throttling.User"])
    assert world.outcomes("care") == {"OK": 20, "Throttling.User": 12}


def test_a_throttled_request_is_told_when_there_will_be_room(world: World, clock: FakeClock) -> None:
    world.accounts["care"].rate_limit = 1
    ask(world)
    clock.advance(0.25)
    reply = ask(world)
    assert (reply.status, reply.headers["x-acs-retry-after"]) == (400, "750")
    clock.advance(0.75)
    assert ask(world).outcome == "OK"


@pytest.mark.parametrize("header", ["x-ratelimit-user-api", "x-ratelimit-user"])
def test_throttling_in_the_older_manner(world: World, header: Any) -> None:
    world.accounts["care"].rate_limit = 0
    world.accounts["care"].throttle = Throttle(503, Refusal.FLOW_CONTROL, header, pause_ms=2000)
    reply = ask(world)
    assert (reply.status, reply.outcome) == (503, "System.LimitControl")
    assert reply.headers[header] == "Limit:0,Remain:0,TimeLeft:2000,Reset:2000"
    assert "x-acs-retry-after" not in reply.headers


@pytest.mark.parametrize(("pause_ms", "seconds"), [(1500, "2"), (2000, "2"), (1, "1")])
def test_throttling_as_a_proxy_does_it(world: World, pause_ms: int, seconds: str) -> None:
    world.accounts["care"].rate_limit = 0
    world.accounts["care"].throttle = Throttle(429, header="retry-after", pause_ms=pause_ms)
    reply = ask(world)
    assert (reply.status, reply.headers["retry-after"]) == (429, seconds)


def test_throttling_without_a_hint(world: World) -> None:
    world.accounts["care"].rate_limit = 0
    world.accounts["care"].throttle = Throttle(header="none")
    assert set(ask(world).headers) == {"Content-Type", "Date", "x-acs-request-id"}


def test_the_keys_of_an_account_share_its_limit_and_accounts_do_not(world: World) -> None:
    world.accounts["care"].rate_limit = 1
    world.set_key("care", "second-key", Key("second-secret"))
    world.add_account("other", "other-key", "other-secret")
    assert ask(world).outcome == "OK"
    assert ask(world, key="second-key", secret="second-secret").outcome == "Throttling.User"
    assert ask(world, key="other-key", secret="other-secret").outcome == "Unknown.ResourceOwnerId"


def test_a_request_that_fails_the_signature_takes_no_place_in_the_limit(world: World) -> None:
    world.accounts["care"].rate_limit = 1
    ask(world, secret="wrong")
    assert ask(world).outcome == "OK"


def test_a_status_a_limit_and_a_refusal_may_change_with_time(world: World, clock: FakeClock) -> None:
    world.find_numbers(PHONE)[0].status = Cycle(((10.0, "VERIFIED"), (10.0, "EXPIRED")))
    world.accounts["care"].refusal = Cycle(((20.0, None), (10.0, Refusal.FORBIDDEN)))
    world.accounts["care"].rate_limit = Cycle(((30.0, 10), (10.0, 0)))
    seen = []
    for _ in range(4):
        answer = document(ask(world))
        seen.append(answer["Data"]["CodeVerificationStatus"] if answer["Code"] == "OK" else answer["Code"])
        clock.advance(10)
    assert seen == ["VERIFIED", "EXPIRED", "Forbidden.RAM", "Throttling.User"]


def test_time_passes_faster_for_cycles_alone(clock: FakeClock) -> None:
    """The rate limit and the dates stay on the real clock."""
    world = care_world(clock=clock, speed=10.0)
    clock.advance(3)
    assert world.elapsed_seconds == 30
    assert world.service_unix == clock.unix()


def test_a_fault_is_played_to_requests_that_reach_the_service(world: World) -> None:
    """Not for requests that the gateway refuses, because they would use it up."""
    world.inject(faults.reset(), times=2)
    assert judge(world, secret="wrong").fault is None
    played = [judge(world).fault for _ in range(3)]
    assert [fault and fault.name for fault in played] == ["reset", "reset", None]


def test_an_injected_fault_waits_for_its_account(world: World) -> None:
    world.add_account("other", "other-key", "other-secret")
    world.inject(faults.close(), account="other")
    assert judge(world).fault is None
    fault = judge(world, key="other-key", secret="other-secret").fault
    assert fault is not None
    assert fault.name == "close"


def test_a_numbers_fault_goes_before_its_accounts(world: World) -> None:
    world.accounts["care"].fault = faults.html()
    assert world.outcomes()["html_200"] == 0
    ask(world)
    world.find_numbers(PHONE)[0].fault = faults.null_data()
    ask(world)
    assert [arrival.outcome for arrival in world.arrivals("care")] == ["html_200", "null_data"]


def test_latency_is_the_numbers_or_else_the_worlds(world: World) -> None:
    world.latency_seconds = (0.05, 0.4)
    drawn = [judge(world).delay_seconds for _ in range(10)]
    assert all(0.05 <= seconds <= 0.4 for seconds in drawn)
    assert len(set(drawn)) == 10
    world.accounts["care"].rate_limit = 100
    world.find_numbers(PHONE)[0].latency_seconds = (2.0, 2.0)
    assert judge(world).delay_seconds == 2.0


def test_a_request_refused_at_the_gate_is_answered_at_once(world: World) -> None:
    world.latency_seconds = (5.0, 5.0)
    world.accounts["care"].rate_limit = 0
    assert judge(world).delay_seconds == 0


def test_the_same_seed_gives_the_same_world() -> None:
    def course(seed: int) -> list[Any]:
        world = care_world(clock=FakeClock(), seed=seed, latency_seconds=(0.0, 1.0))
        decisions = [judge(world) for _ in range(5)]
        return [(decision.delay_seconds, document(decision.reply)) for decision in decisions]

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_every_arrival_is_logged_with_its_account_number_and_outcome(world: World, clock: FakeClock) -> None:
    ask(world)
    clock.advance(0.5)
    ask(world, key="nobody")
    clock.advance(0.25)
    ask(world, secret="wrong")
    log = world.arrivals()
    assert [(arrival.account, arrival.outcome) for arrival in log] == [
        ("care", "OK"),
        ("", "InvalidAccessKeyId.NotFound"),
        ("care", "SignatureDoesNotMatch"),
    ]
    assert [arrival.at for arrival in log] == [64.0, 64.5, 64.75]
    assert log[0].unix == clock.unix() - 0.75
    assert {(arrival.cust_space_id, arrival.phone_number) for arrival in log} == {(SPACE, PHONE)}
    assert len(world.arrivals("care")) == 2


def test_the_busiest_second_counts_what_was_refused_too(world: World, clock: FakeClock) -> None:
    for _ in range(24):
        ask(world)
        clock.advance(1 / 16)
    assert world.busiest_second("care") == 16


def test_the_log_keeps_the_last_arrivals() -> None:
    world = care_world(clock=FakeClock(), arrivals_kept=3)
    for place in range(5):
        ask(world, query={"CustSpaceId": SPACE, "PhoneNumber": f"{place}"})
    assert [arrival.phone_number for arrival in world.arrivals()] == ["2", "3", "4"]


def test_an_account_is_added_once(world: World) -> None:
    with pytest.raises(ValueError, match="exists"):
        world.add_account("care", "k", "s")


def test_no_secret_stands_in_a_repr(world: World) -> None:
    assert "secret" not in repr(Key("secret", "secret-token"))
    assert SECRET not in repr(world.accounts)
