"""The polling loop, driven by hand on a fake clock: polls run in the caller's thread, waiting moves the clock."""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from exporter.errors import ApiError, Kind
from exporter.metrics.counters import Counters
from exporter.model import OPERATION, Answer, PhoneNumber, Refused, Slot, pace_qps
from exporter.polling import AccountPoller
from exporter.polling.account import LOOK_SECONDS
from exporter.polling.budget import Budget
from exporter.polling.in_flight import HAND_OUT_SECONDS, MAX_POLLS_UNDER_WAY, connect_ahead, max_in_flight
from exporter.polling.workers import Job, Workers
from exporter.state.store import NumberState, State
from tests.support.clock import FakeClock
from tests.support.numbers import number, numbers
from tests.support.patience import PATIENCE_SECONDS
from tests.support.played import FORBIDDEN, QUOTA, Played, Polled

Outcome = Answer | Exception


class FakeClient(Polled):
    """Answers from a script: a function of the number and of how many requests came before."""

    def __init__(self, clock: FakeClock, script: Callable[[PhoneNumber, int], Outcome], latency: float) -> None:
        self.clock = clock
        self.script = script
        self.latency = latency
        self.sent: list[tuple[float, str]] = []
        self.is_ready = True
        self.changes = 1
        self.slots = 1
        self.while_connecting: Callable[[], None] = lambda: None
        self.while_sending: Callable[[], None] = lambda: None

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        self.while_connecting()
        for _ in range(self.slots - 1):
            with gate():
                pass
        with gate():
            self.while_sending()
            outcome = self.script(number, len(self.sent))
            self.sent.append((self.clock.now, number.phone_number))
        self.clock.advance(self.latency)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def ready(self) -> bool:
        return self.is_ready

    def credential_changes(self) -> int:
        return self.changes


class InlineWorkers(Workers):
    """Runs each job at once, or raises `exhausted`, as if the machine has no thread left."""

    exhausted: Exception | None = None

    def submit(self, job: Job) -> None:
        if self.exhausted is not None:
            raise self.exhausted
        job()


def always_verified(_: PhoneNumber, __: int) -> Outcome:
    return Answer("VERIFIED", "1", "R-ok", elapsed_seconds=0.1)


@dataclass
class Bench:
    """A poller and its parts."""

    script: Callable[[PhoneNumber, int], Outcome] = always_verified
    polled: list[PhoneNumber] = field(default_factory=lambda: numbers(3))
    qps: float = 5.0
    quota: float = 10.0
    interval: float = 60.0
    latency: float = 0.0
    repeat: bool = True
    stale_after: float = 900.0
    clock: FakeClock = field(default_factory=FakeClock)
    budget: Budget = field(default_factory=lambda: Budget(1.0, 1.0))

    def __post_init__(self) -> None:
        self.start = self.clock.now
        self.client = FakeClient(self.clock, self.script, self.latency)
        self.state = State(self.clock)
        self.counters = Counters(["timeout"])
        self.counters.register("main")
        self.workers = InlineWorkers()
        self.rng = random.Random(1)
        self.poller = AccountPoller(
            "main",
            budget=self.budget,
            client=self.client,
            state=self.state,
            counters=self.counters,
            workers=self.workers,
            clock=self.clock,
            rng=self.rng,
            repeat=self.repeat,
            wait=lambda _, seconds: self.clock.advance(seconds),
        )
        self.configure()

    def configure(self) -> None:
        self.state.configure(self.polled, {"main": self.stale_after})
        self.poller.configure(
            self.polled,
            interval_seconds=self.interval,
            qps=self.qps,
            quota=self.quota,
            timeout_seconds=10.0,
            accounts=1,
            client=self.client,
        )

    def replace_client(self, script: Callable[[PhoneNumber, int], Outcome] = always_verified) -> FakeClient:
        """Replace the account's client as in a reload, from the next step on; returns the old one."""
        old, self.client = self.client, FakeClient(self.clock, script, self.latency)
        self.configure()
        return old

    def run(self, seconds: float) -> list[tuple[float, str]]:
        """Run the loop; returns (seconds since the start, phone number) of each request sent in this time."""
        end = self.clock.now + seconds
        before = len(self.client.sent)
        while self.clock.now < end:
            at = self.poller.step()
            if at > self.clock.now:
                self.clock.advance(min(at, end) - self.clock.now)
        return [(at - self.start, phone) for at, phone in self.client.sent[before:]]

    def record(self, index: int = 0) -> NumberState:
        record = self.state.get(self.polled[index].key)
        assert record is not None
        return record

    def counted(self, name: str, **labels: str) -> float:
        wanted = {"account": "main", **labels}
        return sum(
            value
            for _, samples in self.counters.samples()
            for series, value in samples
            if series.name == name and wanted.items() <= dict(series.labels).items()
        )


def failing(kind: Kind, code: str, times: int = 10**9, *, retry_after: float | None = None) -> Callable[..., Outcome]:
    def script(number: PhoneNumber, before: int) -> Outcome:
        if before < times:
            return ApiError(
                code, kind, message="No.", request_id="R-err", retry_after_seconds=retry_after, elapsed_seconds=0.5
            )
        return always_verified(number, before)

    return script


def test_each_number_is_polled_at_once_and_then_once_per_interval() -> None:
    bench = Bench(polled=numbers(30))
    assert len(bench.run(10)) == 30
    bench.run(110)
    assert len(bench.run(60)) == 30
    assert all(record.last_poll_success for record in bench.state.snapshot().numbers)


def test_no_second_holds_more_requests_than_qps() -> None:
    bench = Bench(polled=numbers(100), qps=10)
    instants = [at for at, _ in bench.run(60)]
    assert len(instants) >= 100
    for first, eleventh in zip(instants, instants[10:], strict=False):
        assert eleventh - first > 1.0


def test_a_status_reaches_the_state_with_its_counters() -> None:
    bench = Bench()
    bench.run(2)
    assert bench.record().status == "VERIFIED"
    assert bench.counted("cams_api_requests_total", operation=OPERATION) == 3
    assert bench.counted("cams_api_request_duration_seconds_sum") == pytest.approx(0.3)
    assert bench.counted("cams_api_errors_total") == 0


def test_an_error_is_counted_and_changes_no_status() -> None:
    bench = Bench(polled=numbers(1), script=failing(Kind.NUMBER, "InvalidParameter.PhoneNumber"))
    bench.run(2)
    assert bench.record().status == ""
    assert bench.record().last_poll_success is False
    assert bench.counted("cams_api_errors_total", code="InvalidParameter.PhoneNumber") == 1
    assert bench.counted("cams_api_requests_total") == 1


def test_an_attempt_that_was_never_sent_is_an_error_but_no_request() -> None:
    error = ApiError("credentials_error", Kind.ACCOUNT, sent=False)
    bench = Bench(polled=numbers(1), script=lambda *_: error)
    bench.run(0.1)
    assert bench.counted("cams_api_errors_total", code="credentials_error") == 1
    assert bench.counted("cams_api_requests_total") == 0


def test_a_bug_in_the_client_is_an_error_of_the_poll_and_the_number_is_polled_again() -> None:
    bench = Bench(polled=numbers(1), script=lambda *_: KeyError("secret detail"))
    bench.run(200)
    assert bench.counted("cams_api_errors_total", code="internal_error") >= 6
    assert bench.record().last_error is not None
    assert "secret" not in bench.record().last_error.message  # type: ignore[union-attr] # asserted above
    assert bench.poller.status().in_flight == 0


class TestRetries:
    """Transient failures are retried at most twice per interval, with backoff and within the budget."""

    def test_a_transient_failure_is_retried_twice_and_then_waits_for_the_next_interval(self) -> None:
        """As long as its status is fresh."""
        bench = Bench(polled=numbers(1), interval=600.0, stale_after=1e6)
        bench.run(1)
        bench.client.script = failing(Kind.TRANSIENT, "timeout")
        assert len(bench.run(60 * 100)) == 30
        assert bench.counted("cams_api_retries_total") == 20

    def test_in_an_outage_a_number_is_asked_once_a_minute_whatever_the_interval(self) -> None:
        """Also a number that is polled each minute: its retries come no sooner than its next poll."""
        for interval in (60.0, 3600.0):
            bench = Bench(polled=numbers(3), interval=interval, latency=10.0, script=failing(Kind.TRANSIENT, "timeout"))
            bench.run(600)
            assert len(bench.run(6000)) == pytest.approx(300, abs=9)

    def test_a_status_that_goes_stale_between_two_polls_is_asked_for_as_soon_as_it_does(self) -> None:
        """The API was down during the poll, and is up long before the next one."""
        bench = Bench(polled=numbers(1), interval=3600.0, stale_after=5400.0)
        bench.run(1)
        bench.client.script = failing(Kind.TRANSIENT, "timeout", times=4)
        bench.run(5399)
        assert len(bench.client.sent) == 4
        ((at, _),) = bench.run(60)
        assert at == pytest.approx(5400, abs=1)

    @pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.PERMISSION])
    def test_a_permanent_error_waits_for_the_next_interval_even_without_a_status(self, kind: Kind) -> None:
        bench = Bench(polled=numbers(3), interval=3600.0)
        bench.client.script = lambda who, _: ApiError("Code", kind) if who in numbers(2) else always_verified(who, 0)
        assert len(bench.run(1800)) <= 3

    def test_a_retry_that_succeeds_brings_the_status(self) -> None:
        bench = Bench(polled=numbers(1), script=failing(Kind.TRANSIENT, "timeout", times=1))
        bench.run(5)
        assert bench.record().status == "VERIFIED"
        assert bench.counted("cams_api_retries_total") == 1
        assert bench.counted("cams_api_requests_total") == 2

    def test_backoff_grows_and_is_jittered(self) -> None:
        waits: list[list[float]] = [[], []]
        for seed in range(40):
            bench = Bench(polled=numbers(1), script=failing(Kind.TRANSIENT, "timeout"))
            bench.rng.seed(seed)
            first, second, third = [at for at, _ in bench.run(10)][:3]
            waits[0].append(second - first)
            waits[1].append(third - second)
        assert max(waits[0]) <= 2.1
        assert 2.1 < max(waits[1]) <= 4.1
        assert len({round(wait, 3) for wait in waits[0]}) > 20

    def test_retries_take_slots_of_the_budget(self) -> None:
        bench = Bench(polled=numbers(30), qps=2, script=failing(Kind.TRANSIENT, "timeout"))
        instants = [at for at, _ in bench.run(120)]
        for before, after in itertools.pairwise(instants):
            assert after - before >= 0.5

    def test_a_retry_that_was_not_sent_does_not_count_as_a_try(self) -> None:
        """Three attempts an interval, also if a reload returns one of them from the gate."""
        bench = Bench(polled=numbers(1), interval=600.0, stale_after=1e6)
        bench.run(1)
        bench.client.script = failing(Kind.TRANSIENT, "timeout")
        bench.client.sent.clear()
        old: list[FakeClient] = []

        def reload_at_the_first_retry() -> None:
            if not old and bench.client.sent:
                old.append(bench.replace_client(failing(Kind.TRANSIENT, "timeout")))

        bench.client.while_connecting = reload_at_the_first_retry
        bench.run(640)
        assert len(old[0].sent) == 1
        assert len(bench.client.sent) == 2

    def test_an_error_about_the_number_is_not_retried(self) -> None:
        bench = Bench(polled=numbers(1), script=failing(Kind.NUMBER, "InvalidParameter.X"))
        assert len(bench.run(25)) == 1

    def test_an_account_error_is_tried_once_more(self) -> None:
        """Two attempts and no third: one number's poll alone does not make the account refused."""
        bench = Bench(polled=numbers(1), script=failing(Kind.ACCOUNT, "InvalidSecurityToken.Expired"))
        assert len(bench.run(20)) == 2

    def test_a_throttled_poll_is_tried_again_after_the_pause(self) -> None:
        bench = Bench(polled=numbers(1), script=failing(Kind.THROTTLE, "Throttling.User", 1, retry_after=3.0))
        (first, _), (second, _) = bench.run(10)
        assert second - first >= 3.0
        assert bench.record().status == "VERIFIED"


class TestThrottling:
    """A throttled account pauses and slows down."""

    def test_a_throttle_pauses_the_whole_account(self) -> None:
        bench = Bench(polled=numbers(20), script=failing(Kind.THROTTLE, "Throttling.User", 1, retry_after=7.0))
        instants = [at for at, _ in bench.run(30)]
        assert instants[1] - instants[0] >= 7.0

    def test_the_effective_rate_is_shown(self) -> None:
        bench = Bench(polled=numbers(1), script=failing(Kind.THROTTLE, "Throttling.User", 1, retry_after=1.0))
        assert bench.poller.status().effective_qps == 5.0
        bench.run(0.5)
        assert bench.poller.status().effective_qps == 2.5
        assert bench.poller.status().budget_qps == 5.0

    def test_what_an_earlier_process_learnt_about_the_path_widens_the_spacing_and_is_shown(self) -> None:
        bench = Bench(polled=numbers(40), qps=10.0)
        bench.poller.learn_path(0.25)
        assert bench.poller.status().guard_seconds == 0.25
        assert bench.poller.status().effective_qps == 8.0
        instants = [at for at, _ in bench.run(3)]
        assert len(instants) > 10
        assert min(later - at for at, later in itertools.pairwise(instants)) == pytest.approx(1.25 / 9.8, rel=0.01)

    def test_what_this_process_learnt_is_not_undone_by_less_from_an_earlier_one(self) -> None:
        """The store may answer late."""
        bench = Bench()
        bench.poller.learn_path(0.25)
        bench.poller.learn_path(0.1)
        assert bench.poller.status().guard_seconds == 0.25


class TestRefusal:
    """After three account errors in a row the account is only probed."""

    def test_a_reload_does_not_turn_back_a_probe_that_waits_for_its_slot(self) -> None:
        bench = Bench(polled=numbers(5), script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        assert len(bench.run(30)) == 3
        bench.client.while_connecting = bench.configure
        assert len(bench.run(600)) == pytest.approx(10, abs=1)

    def test_a_refused_account_is_probed_once_per_interval(self) -> None:
        bench = Bench(polled=numbers(50), script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        first = bench.run(59)
        assert len(first) == 3
        assert not bench.poller.status().up
        assert bench.poller.status().refused == Refused("InvalidAccessKeyId.NotFound", "No.", "R-err")
        assert len(bench.run(600)) == 10

    def test_probes_are_at_least_ten_seconds_apart(self) -> None:
        bench = Bench(polled=numbers(5), interval=1.0, script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        bench.run(5)
        assert len(bench.run(100)) == 10

    def test_the_first_success_restores_the_account_and_all_numbers_are_polled_again(self) -> None:
        bench = Bench(polled=numbers(20), script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound", times=5))
        bench.run(130)
        assert not bench.poller.status().up
        bench.run(100)
        assert bench.poller.status().up
        assert all(record.last_poll_success for record in bench.state.snapshot().numbers)

    @pytest.mark.parametrize("accepted", [always_verified, failing(Kind.NUMBER, "InvalidParameter.X")])
    def test_numbers_that_were_refused_with_the_account_are_polled_once_it_is_accepted(
        self, accepted: Callable[[PhoneNumber, int], Outcome]
    ) -> None:
        """Also if the interval is an hour: each number was polled, and none got an answer."""
        bench = Bench(polled=numbers(3), interval=3600.0, script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        bench.run(5)
        bench.replace_client(accepted)
        bench.run(15)
        assert {phone for _, phone in bench.client.sent} == {each.phone_number for each in bench.polled}

    @pytest.mark.parametrize("refused_for", [15.0, 2.0])
    def test_another_client_is_tried_at_once_but_not_sooner_than_ten_seconds_after_the_last_probe(
        self, refused_for: float
    ) -> None:
        """A reload that fixes the key must not wait for an interval of an hour."""
        bench = Bench(polled=numbers(5), interval=3600.0, script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        bench.run(refused_for)
        assert not bench.poller.status().up
        began = bench.clock.now
        bench.replace_client()
        bench.run(15)
        assert bench.poller.status().up
        assert bench.client.sent[0][0] - began == pytest.approx(max(0.0, 10 - refused_for), abs=2)

    def test_a_late_answer_of_a_replaced_client_does_not_refuse_or_restore_the_account(self) -> None:
        """It was signed with an old key; it is sent again at once with the new key."""
        bench = Bench(polled=numbers(30), interval=3600.0)
        replaced: list[FakeClient] = []

        def script(who: PhoneNumber, before: int) -> Outcome:
            if len(replaced) == 10:
                return always_verified(who, before)
            replaced.append(bench.replace_client(script))
            return ApiError("InvalidAccessKeyId.NotFound", Kind.ACCOUNT)

        bench.client.script = script
        bench.run(20)
        assert bench.counted("cams_api_errors_total", code="InvalidAccessKeyId.NotFound") == 10
        assert bench.poller.status().up
        assert all(record.status == "VERIFIED" for record in bench.state.snapshot().numbers)

    def test_an_error_that_is_cured_already_does_not_count(self) -> None:
        """If a key is rotated or the clock jumps, the requests in flight fail."""
        cured = ApiError("InvalidAccessKeyId.NotFound", Kind.ACCOUNT, cured=True)
        bench = Bench(
            polled=numbers(30), script=lambda who, before: cured if before < 10 else always_verified(who, before)
        )
        bench.run(8)
        assert bench.poller.status().up
        bench.run(100)
        assert bench.counted("cams_api_errors_total", code="InvalidAccessKeyId.NotFound") == 10
        assert all(record.last_poll_success for record in bench.state.snapshot().numbers)
        assert bench.poller.status().up

    def test_a_probe_whose_error_is_cured_is_followed_by_another_soon(self) -> None:
        """After this probe the key is new, or the time is corrected: the next one does not wait for the interval of an
        hour."""

        def script(who: PhoneNumber, before: int) -> Outcome:
            if before < 4:
                return ApiError("InvalidTimeStamp.Expired", Kind.ACCOUNT, cured=before == 3)
            return always_verified(who, before)

        bench = Bench(polled=numbers(5), interval=3600.0, script=script)
        bench.run(3600.0 + 15)
        assert len(bench.client.sent) > 4
        assert bench.poller.status().up

    def test_a_refused_account_without_numbers_does_not_keep_the_loop_busy(self) -> None:
        bench = Bench(polled=numbers(3), script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        bench.run(5)
        bench.polled = []
        bench.configure()
        bench.run(120)
        bench.poller.step()
        assert bench.poller.step() > bench.clock.now

    def test_numbers_of_a_refused_account_do_not_keep_the_exporter_from_being_ready(self) -> None:
        bench = Bench(polled=numbers(20), script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        assert bench.poller.unattempted() == 20
        bench.run(2)
        assert bench.poller.unattempted() == 0

    def test_the_reason_is_told_with_its_message_and_request_id(self) -> None:
        """Alibaba Cloud's support needs the RequestId."""
        bench = Bench(script=failing(Kind.ACCOUNT, "SignatureDoesNotMatch"))
        bench.run(60)
        assert bench.poller.status().refused == Refused("SignatureDoesNotMatch", "No.", "R-err")

    def test_a_key_that_came_is_a_reason_to_probe_within_ten_seconds(self) -> None:
        """For any interval: an available key is used soon."""
        bench = Bench(polled=numbers(5), interval=3600.0, script=failing(Kind.ACCOUNT, "credentials_error"))
        bench.run(300)
        assert not bench.poller.status().up
        began = bench.clock.now
        bench.client.script = always_verified
        bench.client.changes += 1
        bench.run(10)
        assert bench.client.sent[-1][0] - began < 10
        assert bench.poller.status().up
        assert all(record.status == "VERIFIED" for record in bench.state.snapshot().numbers)

    def test_a_key_that_came_before_the_account_was_refused_has_its_numbers_asked_again(self) -> None:
        """An account of one number is polled twice, and is not refused by that.  It must not wait an hour either."""
        bench = Bench(polled=numbers(1), interval=3600.0, script=failing(Kind.ACCOUNT, "SignatureDoesNotMatch"))
        assert len(bench.run(300)) == 2
        assert bench.poller.status().up
        bench.client.script = always_verified
        bench.client.changes += 1
        bench.run(10)
        assert bench.record().status == "VERIFIED"


def spaced(*counts: int) -> list[PhoneNumber]:
    """Numbers in one space for each count."""
    return [
        number(100 * place + index, space=f"cams-{place}")
        for place, count in enumerate(counts)
        for index in range(count)
    ]


def forbidding(*spaces: str) -> Callable[[PhoneNumber, int], Outcome]:
    def script(who: PhoneNumber, before: int) -> Outcome:
        if who.cust_space_id in spaces:
            return ApiError("Forbidden.RAM", Kind.PERMISSION, message="No.", request_id="R-err")
        return always_verified(who, before)

    return script


class TestSpaces:
    """If all numbers of a space are forbidden, the space is only probed; other numbers are not held back."""

    def test_a_refused_space_is_told_with_code_message_and_request_id(self) -> None:
        bench = Bench(polled=spaced(3, 3), script=forbidding("cams-1"))
        bench.run(10)
        status = bench.poller.status()
        assert status.up
        assert status.spaces == ("cams-0", "cams-1")
        assert status.refused_spaces == {"cams-1": Refused("Forbidden.RAM", "No.", "R-err")}

    def test_the_account_is_refused_when_all_of_its_spaces_are(self) -> None:
        bench = Bench(polled=spaced(3, 1), script=forbidding("cams-0", "cams-1"))
        bench.run(10)
        assert bench.poller.status().refused == Refused("Forbidden.RAM", "No.", "R-err")
        assert bench.poller.unattempted() == 0
        assert bench.poller.status().lag_seconds == 0.0
        assert len(bench.run(600)) == pytest.approx(20, abs=2)

    def test_what_is_held_is_not_late_and_has_no_next_poll(self) -> None:
        bench = Bench(polled=spaced(2, 2), script=forbidding("cams-1"))
        bench.run(600)
        assert bench.poller.status().lag_seconds < 1.0
        told = bench.poller.next_polls([each.key for each in bench.polled])
        assert [at == math.inf for at in told] == [False, False, True, True]

    def test_a_number_that_joins_a_refused_space_is_asked_at_once(self) -> None:
        """Readiness waits for each number's first attempt."""
        bench = Bench(polled=spaced(2, 2), script=forbidding("cams-1"))
        bench.run(30)
        bench.polled = spaced(2, 3)
        bench.configure()
        assert bench.poller.unattempted() == 1
        bench.run(1)
        assert bench.poller.unattempted() == 0
        assert bench.poller.status().refused_spaces.keys() == {"cams-1"}

    def test_a_key_that_came_is_a_reason_to_ask_forbidden_numbers_within_ten_seconds(self) -> None:
        """Those of a refused space, and single ones."""
        bench = Bench(polled=spaced(3, 3), interval=3600.0)
        forbidden = {bench.polled[0], *bench.polled[3:]}
        bench.client.script = lambda who, before: (
            ApiError("NoPermission", Kind.PERMISSION) if who in forbidden else always_verified(who, before)
        )
        bench.run(300)
        bench.client.script = always_verified
        bench.client.changes += 1
        bench.run(12)
        assert all(record.status == "VERIFIED" for record in bench.state.snapshot().numbers)
        assert not bench.poller.status().refused_spaces

    def test_another_client_has_them_asked_as_well(self) -> None:
        bench = Bench(polled=spaced(3, 3), interval=3600.0, script=forbidding("cams-1"))
        bench.run(300)
        bench.replace_client()
        bench.run(12)
        assert all(record.status == "VERIFIED" for record in bench.state.snapshot().numbers)

    def test_a_refused_space_without_free_numbers_does_not_keep_the_loop_busy(self) -> None:
        bench = Bench(polled=spaced(1, 1), script=forbidding("cams-1"))
        bench.run(5)
        bench.poller._schedule.take_early(bench.polled[1].key, bench.clock.now)  # its poll hangs
        bench.run(120)
        assert bench.poller.step() > bench.clock.now

    def test_polls_that_wait_for_their_slots_as_their_space_is_refused_do_not_go(self) -> None:
        """A pass does not fit here: the first number's next poll waits as the last one's first answer comes."""
        played = Played(spaced(3), interval=1.0, qps=1.0, latency=0.5, answer=lambda _: FORBIDDEN)
        assert len(played.run(9)) == 3
        played.stop()

    def test_once_does_not_wait_for_probes(self) -> None:
        bench = Bench(polled=spaced(3, 3), repeat=False, script=forbidding("cams-1"))
        assert len(bench.run(500)) == 6
        assert bench.poller.finished()

    def test_once_ends_although_no_number_has_a_status(self) -> None:
        bench = Bench(polled=numbers(2), repeat=False, script=failing(Kind.TRANSIENT, "timeout"))
        assert len(bench.run(500)) == 6
        assert bench.poller.finished()


class TestWaitingAsAsked:
    """Retry-After: an error about one number holds back that number, any other the account; the rate stays."""

    @pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.ACCOUNT])
    @pytest.mark.parametrize(("asked", "waited"), [(20.0, 20.0), (0.0, 0.0), (60.0, 60.0)])
    def test_the_account_waits_as_long_as_the_answer_asks(self, kind: Kind, asked: float, waited: float) -> None:
        bench = Bench(polled=numbers(20), script=failing(kind, "ServiceUnavailable", 1, retry_after=asked))
        first, second, third, *_ = [at for at, _ in bench.run(70)]
        assert second - first == pytest.approx(max(waited, 1 / pace_qps(5, 10)), abs=0.1)
        assert third - second < 1
        assert bench.poller.status().effective_qps == 5.0

    @pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.PERMISSION])
    @pytest.mark.parametrize("interval", [5.0, 600.0])
    def test_an_error_about_one_number_holds_back_that_number_only(self, kind: Kind, interval: float) -> None:
        bench = Bench(polled=numbers(5), interval=interval)
        one = bench.polled[2]
        bench.client.script = lambda who, before: (
            ApiError("Code", kind, retry_after_seconds=40.0) if who == one else always_verified(who, before)
        )
        sent = bench.run(10 * max(interval, 40))
        assert len({phone for at, phone in sent if at < 2}) == 5
        instants = [at for at, phone in sent if phone == one.phone_number]
        assert len(instants) >= 2
        assert all(after - before >= 40 for before, after in itertools.pairwise(instants))
        assert instants[1] - instants[0] <= max(40.0 + interval, 1.5 * interval)
        others = len(sent) - len(instants)
        assert others == pytest.approx(4 * 10 * max(interval, 40) / interval, rel=0.2)

    def test_without_a_requested_wait_there_is_none(self) -> None:
        bench = Bench(polled=numbers(20), script=failing(Kind.TRANSIENT, "ServiceUnavailable", 1))
        instants = [at for at, _ in bench.run(5)]
        assert instants[1] - instants[0] < 0.3


class TestNextPolls:
    """The times of the next polls, for people."""

    def test_the_next_poll_of_each_number_is_told_in_wall_time(self) -> None:
        """The next poll is the one that was announced."""
        bench = Bench()
        bench.run(5)
        told = bench.poller.next_polls([number.key for number in bench.polled])
        polled = {phone: bench.start + at for at, phone in reversed(bench.run(100))}
        ahead = bench.clock.now_unix - bench.clock.now
        assert told == pytest.approx([polled[number.phone_number] + ahead for number in bench.polled], abs=0.5)

    def test_a_number_that_is_not_polled_again_is_told_as_never(self) -> None:
        bench = Bench(repeat=False)
        bench.run(5)
        assert bench.poller.next_polls([bench.polled[0].key]) == [math.inf]


class TestOnce:
    """`--once` polls each number once and ends."""

    def test_it_is_finished_when_each_number_was_polled(self) -> None:
        bench = Bench(polled=numbers(7), repeat=False)
        assert not bench.poller.finished()
        assert len(bench.run(500)) == 7
        assert bench.poller.finished()

    def test_a_refused_account_ends_it_too(self) -> None:
        bench = Bench(polled=numbers(7), repeat=False, script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"))
        assert len(bench.run(500)) == 3
        assert bench.poller.finished()


class TestHandingOut:
    """A poll goes to a worker early enough to connect, but not earlier."""

    def test_slow_answers_cost_no_pace(self) -> None:
        """While workers wait for answers the loop hands out more, as soon as half of those at the gate have passed."""
        played = Played(numbers(300), interval=30.0, qps=QUOTA, latency=8.0)
        sent = played.run(20)
        assert len(sent) >= 0.99 * 20 * pace_qps(QUOTA, QUOTA)
        played.stop()

    def test_a_poll_that_falls_due_while_the_loop_waits_is_on_time(self) -> None:
        """The worker that ended the last one knows when the next is due."""
        played = Played(numbers(1), interval=1.0)
        instants = [at for at, _ in played.run(60)][2:]
        gaps = [after - before for before, after in itertools.pairwise(instants)]
        assert len(gaps) >= 55
        assert gaps == pytest.approx([1.0] * len(gaps), abs=0.01)
        played.stop()

    def test_a_poll_goes_to_a_worker_shortly_before_its_slot(self) -> None:
        """The server closes a connection that waits for long, and the slot is lost."""
        bench = Bench(qps=0.1, interval=10.0)
        handed: list[float] = []
        bench.client.while_connecting = lambda: handed.append(bench.clock.now)
        bench.run(65)
        sent = [at for at, _ in bench.client.sent]
        assert len(sent) >= 6
        assert all(0 <= slot - at <= HAND_OUT_SECONDS + 1e-6 for at, slot in zip(handed, sent, strict=True))

    def test_while_the_account_pauses_the_lag_grows(self) -> None:
        """Numbers that are not polled are late, even if all of them could wait at the gate."""
        bench = Bench(polled=numbers(2), interval=2.0, script=failing(Kind.THROTTLE, "Throttling", 1, retry_after=60))
        bench.run(30)
        assert bench.poller.status().lag_seconds > 20

    def test_time_that_an_account_was_refused_is_no_wait_for_the_budget(self) -> None:
        bench = Bench(
            polled=numbers(20), qps=100, quota=200, script=failing(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound", 5)
        )
        bench.run(600)
        assert bench.record().last_poll_success
        assert bench.counted("cams_api_budget_wait_seconds_total") < 10

    def test_a_number_is_still_due_when_memory_ran_out_under_it(self) -> None:
        bench = Bench(polled=numbers(1))
        bench.workers.exhausted = MemoryError()
        with pytest.raises(MemoryError):
            bench.poller.step()
        bench.workers.exhausted = None
        bench.run(1)
        assert bench.record().last_poll_success


class TestLifecycle:
    """Starting, reloading, stopping."""

    def test_a_poll_that_comes_to_the_gate_again_takes_another_slot_and_is_one_poll(self) -> None:
        """The client had to connect again: its first slot is used, and it counts as one poll."""
        bench = Bench(polled=numbers(4), qps=1)
        bench.client.slots = 2
        instants = [at for at, _ in bench.run(8.5)]
        assert all(after - before >= 2 for before, after in itertools.pairwise(instants))
        assert len(instants) == 4
        assert bench.poller.status().in_flight == 0
        assert bench.counted("cams_api_budget_wait_seconds_total") == pytest.approx(4 / pace_qps(1, 10))

    def test_nothing_is_sent_before_the_first_look_for_credentials_ended(self) -> None:
        """Nor where a reload brings another client."""
        bench = Bench(interval=5.0)
        for _ in range(2):
            bench.client.is_ready = False
            assert bench.run(10) == []
            bench.client.is_ready = True
            assert len(bench.run(1)) == 3
            bench.replace_client()

    def test_after_a_stop_nothing_is_sent(self) -> None:
        bench = Bench()
        bench.poller.stop()
        assert bench.run(100) == []

    def test_a_poll_at_the_gate_is_abandoned_by_a_stop_and_nothing_is_recorded(self) -> None:
        bench = Bench(polled=numbers(2), qps=0.1)
        bench.client.while_connecting = bench.poller.stop
        assert bench.run(60) == []
        assert bench.record().last_poll_success is None
        assert bench.counted("cams_api_errors_total") == 0

    def test_a_request_that_a_stop_cut_off_is_no_error_of_the_api(self) -> None:
        """Its account may be configured again by then, and must not start with an error of ours."""

        def stopping(*_: object) -> Outcome:
            bench.poller.stop()
            return ApiError("connection_error", Kind.TRANSIENT)

        bench = Bench(polled=numbers(1), script=stopping)
        bench.run(0.1)
        assert len(bench.client.sent) == 1
        assert bench.counted("cams_api_errors_total") == 0
        assert bench.record().last_poll_success is None

    def test_a_number_that_leaves_while_it_waits_at_the_gate_is_not_asked_about(self) -> None:
        bench = Bench(polled=numbers(2))

        def leave() -> None:
            bench.polled = []
            bench.configure()

        bench.client.while_connecting = leave
        assert bench.run(200) == []
        assert bench.poller.status().in_flight == 0

    def test_a_client_that_was_replaced_sends_nothing_more(self) -> None:
        """A poll that waits for its slot, perhaps for a minute, must not use the old key or endpoint."""
        bench = Bench(polled=numbers(1))
        old = bench.client

        def reload() -> None:
            bench.replace_client()

        old.while_connecting = reload
        bench.run(5)
        assert old.sent == []
        assert len(bench.client.sent) == 1
        assert bench.record().status == "VERIFIED"

    def test_a_poll_without_a_free_thread_stays_due(self) -> None:
        """Container runtimes bound the number of threads.  A job without a thread is not lost."""
        bench = Bench(polled=numbers(2))
        bench.workers.exhausted = OSError("no thread can be started")
        for _ in range(5):
            with pytest.raises(OSError, match="no thread"):
                bench.poller.step()
        assert bench.poller.status().in_flight == 0
        bench.workers.exhausted = None
        assert len(bench.run(5)) == 2

    def test_a_budget_outlives_its_poller(self) -> None:
        """An account that is removed and added again at once does not get a new one."""
        bench = Bench(polled=numbers(1), script=failing(Kind.THROTTLE, "Throttling.User", 1, retry_after=30.0))
        bench.poller.step()
        bench.poller.stop()
        again = Bench(polled=numbers(1), clock=bench.clock, budget=bench.budget)
        (at, _), *_ = again.run(50)
        assert at >= 30.0

    def test_a_reload_changes_the_pace_from_the_next_slot_on(self) -> None:
        bench = Bench(polled=numbers(100), qps=10)
        bench.run(0.05)
        bench.qps = 1
        bench.configure()
        instants = [at for at, _ in bench.run(20)]
        assert all(after - before >= 1 for before, after in itertools.pairwise(instants))

    def test_the_loop_has_a_heartbeat_while_it_steps(self) -> None:
        played = Played(numbers(3), interval=3600.0)
        played.run(1000)
        assert played.poller.seconds_without_heartbeat() <= LOOK_SECONDS
        played.stop()
        played.time.now += 1000
        assert played.poller.seconds_without_heartbeat() >= 1000

    def test_the_thread_survives_an_error_in_its_loop(self) -> None:
        bench = Bench()
        broken = threading.Event()

        def ready() -> bool:
            broken.set()
            raise RuntimeError("broken")

        bench.client.ready = ready  # type: ignore[method-assign] # the fault to survive
        bench.poller.start()
        assert broken.wait(PATIENCE_SECONDS)
        assert bench.poller._loop.is_alive
        bench.poller.stop()
        thread = bench.poller._loop._thread
        assert thread is not None
        thread.join(PATIENCE_SECONDS)
        assert not bench.poller._loop.is_alive


class TestBounds:
    """The maximum of polls in flight."""

    def test_one_account_has_enough_workers_that_answers_as_slow_as_the_timeout_do_not_eat_the_budget(self) -> None:
        assert max_in_flight(pace=9.8, timeout_seconds=10.0, accounts=1) >= 98

    def test_many_accounts_share_a_bounded_number_of_workers_evenly(self) -> None:
        assert max_in_flight(9.8, 10.0, accounts=100) == MAX_POLLS_UNDER_WAY // 100
        assert 100 * max_in_flight(9.8, 10.0, accounts=100) <= MAX_POLLS_UNDER_WAY

    def test_every_account_gets_requests_in_flight(self) -> None:
        assert max_in_flight(9.8, 10.0, accounts=10_000) >= 2

    @pytest.mark.parametrize(("pace", "ahead"), [(0.1, 2), (9.8, 4), (1000, 32)])
    def test_polls_are_handed_out_a_little_ahead_of_their_slots(self, pace: float, ahead: int) -> None:
        assert connect_ahead(pace) == ahead
