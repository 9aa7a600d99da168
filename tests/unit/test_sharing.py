"""What the rights of a cluster do to the pollers, and what a replica shows of accounts that others poll."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from exporter.accounts import Accounts
from exporter.app import App
from exporter.cluster.answers.accounts import encoded_account
from exporter.cluster.answers.accounts import told as accounts_told
from exporter.cluster.answers.shared import GONE
from exporter.config import Source, Variables, config_number, load
from exporter.errors import ApiError, ConfigError, Kind
from exporter.fleet.fleets import Fleets
from exporter.model import NEVER, AccountStatus, Answer, NumberKey, Refused, Right
from exporter.readiness import Readiness
from exporter.scrape_priority import ScrapePriority
from exporter.sharing import Sharing
from tests.support.clock import FakeClock
from tests.support.configs import written

NUMBERS = '[{phone_number: "8613800001234", cust_space_id: cams-1}]'
REFUSED = Refused("InvalidAccessKeyId.NotFound", "The AccessKey is not found.", "R-1")
CREDENTIALS = "credentials: {type: access_key, access_key_id: one, access_key_secret: two}"


def configured(folder: Path, *names: str, section: str = "") -> Path:
    """A configuration of one of several replicas; its store does not exist."""
    accounts = "\n".join(f"- {{name: {name}, {CREDENTIALS}, numbers: {NUMBERS}}}" for name in names)
    cluster = f"url: 'unix://{folder}/none.sock', replicas: 2{section}"
    return written(folder, f"cluster: {{{cluster}}}\naccounts:\n{accounts}\n")


class Replica:
    """An App that is not started, so that a test gives its rights."""

    def __init__(self, folder: Path, *names: str, section: str = "") -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.config = load(configured(folder, *names, section=section))
        self.app = App(self.config, self.clock, version="0", revision="0")
        assert isinstance(self.app.sharing, Sharing)
        self.sharing = self.app.sharing

    def allow(self, *accounts: str, is_spare: bool = False) -> None:
        now = self.clock.monotonic()
        self.sharing.allow({name: Right(1, now, now + 10.0) for name in accounts}, is_spare=is_spare)

    def budgets(self) -> dict[str, float]:
        return {account.account: account.budget_qps for account in self.app.view()[1]}

    def polled(self) -> set[str]:
        return {name for name in self.budgets() if self.sharing.polls(name)}


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path, "one", "two")
    yield made
    made.app.stop()


def test_a_replica_polls_nothing_before_it_has_a_right(replica: Replica) -> None:
    assert replica.polled() == set()
    replica.allow("one")
    assert replica.polled() == {"one"}
    replica.allow("two")
    assert replica.polled() == {"two"}


def test_without_the_store_all_accounts_are_polled_at_the_spare_rate_also_those_it_held(replica: Replica) -> None:
    """The right to these has ended."""
    replica.allow("one")
    assert replica.sharing.status().spare_qps == {"one": 2, "two": 2}
    replica.allow("one", is_spare=True)
    assert replica.polled() == {"one", "two"}
    assert [(each.is_held, each.is_polled) for each in replica.app.view()[1]] == [(False, True)] * 2
    assert replica.budgets() == {"one": 2, "two": 2}
    replica.allow("two")
    assert replica.polled() == {"two"}
    assert replica.budgets() == {"one": 5, "two": 5}


def test_an_account_that_left_and_came_back_is_polled_without_the_store(replica: Replica) -> None:
    replica.allow(is_spare=True)
    for names in (("one",), ("one", "two")):
        config = load(configured(replica.folder, *names))
        replica.app.reload(functools.partial(replace, config))
    replica.allow(is_spare=True)
    assert replica.budgets() == {"one": 2, "two": 2}


def test_who_stops_without_the_store_polls_nothing_then(tmp_path: Path) -> None:
    replica = Replica(tmp_path, "one", section=", without_store: stop")
    replica.allow("one")
    replica.allow("one", is_spare=True)
    assert replica.polled() == set()
    assert replica.sharing.status().spare_qps == {"one": 0}
    replica.app.stop()


class Told:
    """In place of a poller: notes what it is told."""

    def __init__(self, status: AccountStatus) -> None:
        self.status: Callable[[], AccountStatus] = lambda: status
        self.rights: list[Right] = []
        self.told: AccountStatus | None = None

    def allow(self, right: Right, status: AccountStatus | None, _: int | None) -> None:
        self.rights.append(right)
        self.told = status


def shared_out(replica: Replica) -> tuple[dict[str, Told], Sharing]:
    """What stands in place of the pollers, and what gives them their rights."""
    pollers = {status.account: Told(status) for status in replica.app.view()[1]}
    accounts, fleets = cast("Accounts", pollers.items()), cast("Fleets", SimpleNamespace())
    cluster, clock = replica.sharing.cluster, replica.clock
    sharing = Sharing(cluster, accounts, replica.sharing.state, fleets, clock, ScrapePriority(clock), str)
    sharing.configure(replica.config, config_number(replica.config))
    return pollers, sharing


def told(sharing: Sharing, status: AccountStatus, unlisted: int = 0) -> None:
    """Another replica, which holds the account, tells this of it."""
    payload = encoded_account(accounts_told(status, unlisted), 0.0)
    sharing.shared.read([(("account", status.account), payload, 0.0)])


def test_a_poller_is_told_what_changed_and_else_left_alone(replica: Replica) -> None:
    """A thousand accounts that others hold cost nothing at each look."""
    pollers, sharing = shared_out(replica)
    first, second = Right(1, 0.0, 10.0), Right(1, 0.0, 11.0)
    for rights in ({"one": first}, {"one": first}, {"one": second}, {}, {}):
        sharing.allow(rights, is_spare=False)
    assert pollers["one"].rights == [first, second, NEVER]
    assert pollers["two"].rights == []


def test_a_poller_goes_on_from_what_the_holder_told_and_else_from_what_it_knows_itself(replica: Replica) -> None:
    """A new token for an account that it holds already: it lost it and got it again between two looks."""
    pollers, sharing = shared_out(replica)
    told(sharing, replace(pollers["one"].status(), refused=REFUSED))
    sharing.allow({"one": Right(1, 0.0, 10.0)}, is_spare=False)
    assert pollers["one"].told is not None
    assert pollers["one"].told.refused == REFUSED
    sharing.allow({"one": Right(2, 0.0, 10.0)}, is_spare=False)
    assert pollers["one"].told is None


def test_the_holder_tells_how_an_account_does_until_it_is_polled_here(replica: Replica) -> None:
    def seen() -> AccountStatus:
        return next(each for each in replica.app.view()[1] if each.account == "one")

    told(replica.sharing, replace(seen(), phone_numbers=9))
    assert seen().phone_numbers == 9
    for is_spare in (False, True):
        replica.allow("one", is_spare=is_spare)
        assert seen().phone_numbers == 1


def test_listings_of_an_account_that_nobody_told_of_have_not_ended(replica: Replica) -> None:
    assert replica.sharing.unlisted("one") == 1
    told(replica.sharing, replica.app.view()[1][0], unlisted=0)
    assert replica.sharing.unlisted("one") == 0


def test_a_replica_tells_of_the_accounts_that_it_holds_not_of_those_it_polls_without_the_store(
    replica: Replica,
) -> None:
    replica.allow("one")
    assert replica.sharing.held_statuses().keys() == {"one"}
    replica.allow(is_spare=True)
    assert replica.sharing.held_statuses().keys() == set()


def test_only_who_polls_an_account_tells_that_a_number_is_gone(replica: Replica) -> None:
    key = ("number", "one", "cams-1", "8613800009999")
    for accounts, said in (((), {}), (("one",), {key: (0.0, GONE)})):
        replica.allow(*accounts)
        replica.sharing.gone([NumberKey(*key[1:])])
        assert replica.sharing.shared.written([key]) == said


def test_the_log_says_once_which_accounts_came_and_went(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.sharing")
    for accounts in (("one", "two"), ("one", "two"), ("one",)):
        replica.allow(*accounts)
    assert caplog.messages == [
        "accounts are polled by this replica from now on",
        "accounts are polled by this replica no more",
    ]


def test_the_log_names_the_store_as_it_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.sharing")
    path = configured(tmp_path, "one")
    path.write_text(path.read_text().replace(f"unix://{tmp_path}", "unix://${FOLDER}"))
    app = App(load(path, Variables({"FOLDER": str(tmp_path)})), FakeClock(), version="0", revision="0")
    assert isinstance(app.sharing, Sharing)
    app.sharing.start()
    app.stop()
    (started,) = (record for record in caplog.records if record.message.startswith("sharing"))
    assert started.__dict__["fields"]["store"] == "unix://${FOLDER}/none.sock"


def test_an_account_that_left_the_configuration_is_passed_on_as_if_its_last_request_left_now(replica: Replica) -> None:
    assert replica.sharing.pace("gone").slot_age_seconds == 0.0
    assert replica.sharing.pace("one").slot_age_seconds is None


def test_the_next_poll_of_another_replicas_number_is_about_an_interval_after_its_last(replica: Replica) -> None:
    (number, _) = (record.number for record in replica.app.view()[0].numbers)
    assert replica.app.next_polls([number.key]) == {number.key: math.inf}
    state = replica.sharing.state
    state.succeeded(number, Answer("VERIFIED", "id", "R"))
    assert replica.app.next_polls([number.key]) == {number.key: replica.clock.unix() + 60}
    assert replica.sharing.next_polls([number.key], {}) == {number.key: math.inf}, "its account leaves just now"


def test_the_next_poll_of_another_replicas_number_is_by_the_interval_of_its_account(replica: Replica) -> None:
    path = configured(replica.folder, "one")
    path.write_text(path.read_text().replace("name: one", "name: one, scrape_interval: 2m"))
    replica.app.reload(lambda: load(path))
    (record,) = replica.app.view()[0].numbers
    replica.sharing.state.succeeded(record.number, Answer("VERIFIED", "id", "R"))
    assert replica.app.next_polls([record.number.key]) == {record.number.key: replica.clock.unix() + 120}


def test_ready_waits_for_what_other_replicas_poll_and_for_nothing_else(replica: Replica) -> None:
    assert replica.app.not_ready() == (
        "account one, held by no replica now: numbers not polled yet: 1",
        "account two, held by no replica now: numbers not polled yet: 1",
    )
    replica.allow("two")
    first, second = replica.app.not_ready()
    assert first.startswith("account one, held by no replica now: ")
    assert second == "account two: numbers not polled yet: 1"
    replica.allow()
    for record in replica.app.view()[0].numbers:
        replica.sharing.state.take_over([replace(record, last_poll_success=False, last_poll_unix=1.0)])
    assert replica.app.not_ready() == ()


def test_ready_does_not_wait_for_an_account_that_its_holder_says_is_refused(replica: Replica) -> None:
    one, _ = replica.app.view()[1]
    told(replica.sharing, replace(one, refused=REFUSED))
    (missing,) = replica.app.not_ready()
    assert missing.startswith("account two")


class HeldElsewhere:
    """What `Readiness` asks a `Sharing`; another replica holds every account."""

    def polls(self, account: str) -> bool:
        return False

    def seen(self, own: AccountStatus) -> AccountStatus:
        return replace(own, is_held=False, holder="host-b:7")


def test_what_is_not_ready_names_the_replica_that_polls_it(replica: Replica) -> None:
    pollers = {each.account: SimpleNamespace(poller=Told(each)) for each in replica.app.view()[1]}
    accounts, fleets = cast("Accounts", pollers), cast("Fleets", {})
    readiness = Readiness(accounts, fleets, replica.sharing.state, cast("Sharing", HeldElsewhere()))
    assert readiness.missing(replica.app.config)[0] == "account one, polled by host-b:7: numbers not polled yet: 1"


def test_another_section_of_the_cluster_needs_a_restart(replica: Replica) -> None:
    with pytest.raises(ConfigError, match="cluster: changed; restart this replica to use it"):
        replica.app.reload(lambda: load(configured(replica.folder, "one", section=", lease: 10s")))
    replica.app.reload(lambda: load(configured(replica.folder, "one", "three")))
    assert replica.budgets().keys() == {"one", "three"}
    assert replica.polled() == set()


def test_a_changed_section_is_refused_once_where_the_file_is_followed(replica: Replica) -> None:
    """The old configuration stays in force, and the file is not read again at each look."""
    source = Source(replica.app.config.path or Path(), Variables())
    configured(replica.folder, "one", section=", lease: 10s")
    changed = []
    for _ in range(4):
        changed.append(source.has_changed(replica.app.config))
        if changed[-1]:
            with pytest.raises(ConfigError, match="cluster: changed; restart this replica to use it"):
                replica.app.reload(source.load)
    assert changed == [False, True, False, False]
    assert not replica.app.reload_status.successful
    assert replica.budgets().keys() == {"one", "two"}


def test_a_poll_that_failed_elsewhere_is_not_made_at_once_again(replica: Replica) -> None:
    for record in replica.app.view()[0].numbers:
        replica.sharing.state.failed(record.number, ApiError("timeout", Kind.TRANSIENT))
    replica.clock.advance(20)
    replica.allow("one", "two")
    assert replica.app.not_ready() == ()
    polls = replica.app.next_polls([record.number.key for record in replica.app.view()[0].numbers])
    assert all(0 < (at or 0.0) - replica.clock.unix() <= 40 for at in polls.values())
