"""What the simulator answers to ListInstance, QueryChatappPhoneNumbers and GetWhatsappHealthStatus."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from exporter.simulator import (
    HEALTH,
    INSTANCES,
    PHONE_NUMBERS,
    STATUS,
    Cycle,
    EntityHealth,
    Health,
    HealthError,
    Number,
    Refusal,
    Steps,
    Throttle,
    World,
    faults,
    phone_health,
)
from exporter.simulator.gateway import Decision, decide
from tests.support.clock import FakeClock
from tests.support.simulated import PHONE, SPACE, Call, ask_health, care_world, list_instances, list_numbers

EACH = {STATUS: Call(), INSTANCES: list_instances(), PHONE_NUMBERS: list_numbers(), HEALTH: ask_health()}
"""A call of each operation that is answered with OK."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=64.0)


@pytest.fixture
def world(clock: FakeClock) -> World:
    return care_world(clock=clock)


@pytest.fixture
def number(world: World) -> Number:
    return world.find_numbers(PHONE)[0]


def judge(world: World, call: Call) -> Decision:
    """The decision on a call dated now by the test's clock."""
    return decide(world, replace(call, unix=world.clock.unix()).request())


def document(world: World, call: Call) -> Any:
    return json.loads(judge(world, call).reply.body)


def code(world: World, call: Call) -> str:
    return str(document(world, call)["Code"])


def spaces(world: World, **query: str) -> list[str]:
    """The IDs on a page of ListInstance."""
    return [entry["CustSpaceId"] for entry in document(world, list_instances(**query))["Data"]]


def listed(world: World, space: str = SPACE, **query: str) -> list[str]:
    return [entry["PhoneNumber"] for entry in document(world, list_numbers(space, **query))["PhoneNumbers"]]


def entry(world: World) -> Any:
    """The first number of the space's listing."""
    return document(world, list_numbers())["PhoneNumbers"][0]


class TestInstances:
    def test_an_instance_has_the_documented_fields(self, world: World) -> None:
        answer = document(world, list_instances())
        assert (answer["Code"], answer["TotalCount"]) == ("OK", 1)
        (instance,) = answer["Data"]
        shown = ("CustSpaceId", "InstanceId", "InstanceName", "ChannelType", "State", "SubmitTime")
        assert [instance[name] for name in shown] == [
            SPACE,
            SPACE,
            f"instance {SPACE}",
            "WHATSAPP",
            "published",
            "2023-12-12 00:00:00",
        ]

    def test_pages_follow_each_other_until_the_total_and_an_empty_one_is_last(self, world: World) -> None:
        for place in range(2, 24):
            world.add_space("care", f"space-{place}")
        pages = [document(world, list_instances(PageIndex=str(index), PageSize="10"))["Data"] for index in range(1, 5)]
        assert [len(page) for page in pages] == [10, 10, 3, 0]
        ids = [instance["CustSpaceId"] for page in pages for instance in page]
        assert ids == [SPACE, *(f"space-{place}" for place in range(2, 24))]
        assert document(world, list_instances(PageIndex="3"))["TotalCount"] == 23

    def test_a_page_is_ten_long_unless_asked_for_and_never_longer_than_the_account_has_it(self, world: World) -> None:
        for place in range(150):
            world.add_space("care", f"space-{place}")
        assert len(spaces(world)) == 10
        assert len(spaces(world, PageSize="1000")) == 100
        world.accounts["care"].max_page_size = 7
        assert len(spaces(world, PageSize="1000")) == 7
        assert spaces(world, PageSize="1000", PageIndex="2")[0] == "space-6"

    @pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "٤", "9" * 10])
    @pytest.mark.parametrize("name", ["PageIndex", "PageSize"])
    def test_a_page_that_is_no_number_is_refused(self, world: World, name: str, value: str) -> None:
        assert code(world, list_instances(**{name: value})) == f"InvalidParameter.{name}"

    def test_filters(self, world: World) -> None:
        viber = world.add_space("care", "cams-viber")
        viber.channel_type, viber.name = "VIBER", "calls"
        assert spaces(world, ChannelType="whatsapp") == [SPACE]
        assert spaces(world, ChannelType="VIBER") == ["cams-viber"]
        assert spaces(world, InstanceId="cams-viber") == ["cams-viber"]
        assert spaces(world, InstanceName="calls") == ["cams-viber"]
        assert document(world, list_instances(ChannelType="messenger"))["TotalCount"] == 0

    def test_a_space_shows_either_id_both_or_another_one(self, world: World) -> None:
        space = world.add_space("care", SPACE)
        space.cust_space_id, space.instance_id = None, "instance-1"
        (instance,) = document(world, list_instances())["Data"]
        assert (instance.get("CustSpaceId"), instance["InstanceId"]) == (None, "instance-1")

    def test_spaces_come_and_go_with_their_numbers(self, world: World, clock: FakeClock) -> None:
        world.add_space("care", SPACE).exists = Steps(False, ((10.0, True), (20.0, False)))
        seen = []
        for _ in range(3):
            seen.append((spaces(world), code(world, list_numbers()), code(world, Call()), code(world, ask_health())))
            clock.advance(10)
        gone = ([], *3 * ["Unknown.ResourceOwnerId"])
        assert seen == [gone, ([SPACE], "OK", "OK", "OK"), gone]

    def test_an_unlisted_space_is_known_all_the_same(self, world: World) -> None:
        """As a customer of an ISV may be: ListInstance may not show it."""
        world.add_space("care", SPACE).listed = False
        assert spaces(world) == []
        assert listed(world) == [PHONE]

    def test_an_account_lists_its_own_spaces(self, world: World) -> None:
        world.add_account("other", "other-key", "other-secret")
        world.add_space("other", "cams-other")
        assert spaces(world) == [SPACE]
        assert spaces(world, InstanceId="cams-other") == []


class TestPhoneNumbers:
    def test_a_number_has_the_documented_fields(self, world: World) -> None:
        number = entry(world)
        assert {name: number[name] for name in list(number)[:9]} == {
            "PhoneNumber": PHONE,
            "Status": "CONNECTED",
            "QualityRating": "GREEN",
            "MessagingLimitTier": "TIER_1K",
            "NameStatus": "Approval",
            "NewNameStatus": "NONE",
            "CodeVerificationStatus": "VERIFIED",
            "VerifiedName": "Simulated Ltd",
            "IsOfficial": "N",
        }

    def test_a_space_lists_its_own_numbers_all_at_once(self, world: World) -> None:
        phones = [f"4477009{place:05}" for place in range(300)]
        for phone in phones:
            world.add_number("care", "cams-large", phone)
        assert listed(world, "cams-large") == phones
        assert listed(world) == [PHONE]

    def test_a_space_without_numbers_has_an_empty_list(self, world: World) -> None:
        world.add_space("care", "cams-empty")
        assert document(world, list_numbers("cams-empty"))["PhoneNumbers"] == []

    @pytest.mark.parametrize(("space", "refused"), [("", "MissingCustSpaceId"), ("no", "Unknown.ResourceOwnerId")])
    def test_a_space_of_somebody_else_or_none_is_refused(self, world: World, space: str, refused: str) -> None:
        assert code(world, list_numbers(space)) == refused

    def test_a_status_to_filter_by(self, world: World, number: Number) -> None:
        world.add_number("care", SPACE, "447700900002").connection_status = "BANNED"
        assert listed(world, Status="BANNED") == ["447700900002"]
        assert listed(world, Status="CONNECTED") == [PHONE]

    @pytest.mark.parametrize(
        ("trait", "field", "values"),
        [
            ("connection_status", "Status", ["CONNECTED", "BANNED", "SOMETHING_NEW"]),
            ("quality_rating", "QualityRating", ["GREEN", "RED", "UNKNOWN"]),
            ("messaging_limit_tier", "MessagingLimitTier", ["TIER_10K", "TIER_50", None]),
            ("name_status", "NameStatus", ["Approval", "Rejected", None]),
            ("new_name_status", "NewNameStatus", ["Pending_Review", "DECLINED", None]),
            ("verified_name", "VerifiedName", ["Contoso", "Fabrikam", None]),
            ("is_official", "IsOfficial", ["N", "Y", None]),
            ("listed_status", "CodeVerificationStatus", ["EXPIRED", "NOT_VERIFIED", None]),
        ],
    )
    def test_a_trait_changes_with_time(
        self, world: World, clock: FakeClock, number: Number, trait: str, field: str, values: list[str | None]
    ) -> None:
        """One that is None is left out, but for the verification status: then it is the status call's."""
        setattr(number, trait, Steps(values[0], ((10.0, values[1]), (20.0, values[2]))))
        seen = []
        for _ in values:
            seen.append(entry(world).get(field))
            clock.advance(10)
        assert seen == [value or (None if trait != "listed_status" else "VERIFIED") for value in values]

    def test_a_listing_may_be_older_than_the_status(self, world: World, number: Number) -> None:
        number.status, number.listed_status = "EXPIRED", "VERIFIED"
        assert entry(world)["CodeVerificationStatus"] == "VERIFIED"
        assert document(world, Call())["Data"]["CodeVerificationStatus"] == "EXPIRED"

    def test_a_number_appears_and_vanishes(self, world: World, clock: FakeClock, number: Number) -> None:
        number.exists = Steps(False, ((10.0, True), (20.0, False)))
        seen = []
        for _ in range(3):
            seen.append((listed(world), code(world, Call()), code(world, ask_health())))
            clock.advance(10)
        gone = ([], *2 * ["Unknown.ResourceOwnerId"])
        assert seen == [gone, ([PHONE], "OK", "OK"), gone]

    def test_a_number_that_is_not_listed_has_a_status_all_the_same(self, world: World, number: Number) -> None:
        number.listed = False
        assert listed(world) == []
        assert code(world, Call()) == code(world, ask_health()) == "OK"

    def test_a_number_moves_to_another_space_and_account(self, world: World, number: Number) -> None:
        world.add_account("other", "other-key", "other-secret")
        world.move_number(number, "care", "cams-second")
        assert (listed(world), listed(world, "cams-second")) == ([], [PHONE])
        assert code(world, Call()) == "Unknown.ResourceOwnerId"
        world.move_number(number, "other", "cams-third")
        assert listed(world, "cams-second") == []
        theirs = replace(list_numbers("cams-third"), key="other-key", secret="other-secret")
        assert [each["PhoneNumber"] for each in document(world, theirs)["PhoneNumbers"]] == [PHONE]

    def test_a_number_does_not_move_where_it_stands_already(self, world: World, number: Number) -> None:
        world.add_number("care", "cams-second", PHONE)
        with pytest.raises(ValueError, match="has that number"):
            world.move_number(number, "care", "cams-second")
        assert listed(world) == [PHONE]

    def test_a_number_moves_at_a_given_time(self, world: World, clock: FakeClock, number: Number) -> None:
        """Two numbers of which one ends as the other begins."""
        number.exists = Steps(True, ((10.0, False),))
        world.add_number("care", "cams-second", PHONE, exists=Steps(False, ((10.0, True),)))
        assert (listed(world), listed(world, "cams-second")) == ([PHONE], [])
        clock.advance(10)
        assert (listed(world), listed(world, "cams-second")) == ([], [PHONE])

    def test_a_number_is_taken_out_of_the_world(self, world: World, number: Number) -> None:
        world.remove_number(number)
        assert (listed(world), world.find_numbers(PHONE)) == ([], ())

    @pytest.mark.parametrize("shown", ["4477009****", "+44 7700 900001", "447700900099"])
    def test_a_number_is_shown_otherwise(self, world: World, number: Number, shown: str) -> None:
        """Masked, in another notation, or another number: never to be matched but by its digits."""
        number.shown_as = shown
        assert listed(world) == [shown]
        assert document(world, Call())["Data"]["PhoneNumber"] == shown
        assert document(world, ask_health())["Data"]["Entities"][0]["PhoneNumber"] == shown


class TestHealth:
    def test_a_healthy_number_has_three_entities_without_errors(self, world: World) -> None:
        data = document(world, ask_health())["Data"]
        assert data["CanSendMessage"] == "AVAILABLE"
        assert [each["EntityType"] for each in data["Entities"]] == ["PHONE_NUMBER", "WABA", "BUSINESS"]
        assert {each["CanSendMessage"] for each in data["Entities"]} == {"AVAILABLE"}
        assert data["Entities"][0]["PhoneNumber"] == PHONE
        assert data["Entities"][1]["WabaId"].isdigit()
        assert data["Entities"][2]["BusinessId"].isdigit()
        assert all("Errors" not in each for each in data["Entities"])

    def test_an_error_has_its_code_and_its_solution(self, world: World, number: Number) -> None:
        number.health = phone_health("BLOCKED", HealthError("141006", "There is an error.", "Pay."), HealthError("2"))
        data = document(world, ask_health())["Data"]
        first, second = data["Entities"][0]["Errors"]
        assert first == {"ErrorCode": "141006", "ErrorDescription": "There is an error.", "PossibleSolution": "Pay."}
        assert second["ErrorCode"] == "2"
        assert data["CanSendMessage"] == data["Entities"][0]["CanSendMessage"] == "BLOCKED"

    @pytest.mark.parametrize(
        ("health", "verdict"),
        [
            (Health(waba=EntityHealth("LIMITED")), "LIMITED"),
            (Health(waba=EntityHealth("LIMITED"), business=EntityHealth("BLOCKED")), "BLOCKED"),
            (Health(can_send="SOMETHING_NEW"), "SOMETHING_NEW"),
        ],
    )
    def test_the_whole_is_as_bad_as_its_worst_entity(
        self, world: World, number: Number, health: Health, verdict: str
    ) -> None:
        number.health = health
        assert document(world, ask_health())["Data"]["CanSendMessage"] == verdict

    def test_health_changes_with_time(self, world: World, clock: FakeClock, number: Number) -> None:
        number.health = Cycle(((10.0, Health()), (10.0, phone_health("BLOCKED"))))
        seen = []
        for _ in range(3):
            seen.append(document(world, ask_health())["Data"]["CanSendMessage"])
            clock.advance(10)
        assert seen == ["AVAILABLE", "BLOCKED", "AVAILABLE"]

    def test_the_spelling_of_the_node_type_is_the_accounts(self, world: World) -> None:
        """Which one the service takes is not known."""
        assert [code(world, ask_health(node_type=spelling)) for spelling in ("PHONE", "phone")] == ["OK", "OK"]
        world.accounts["care"].node_types = frozenset({"phone"})
        assert code(world, ask_health(node_type="PHONE")) == "InvalidParameter.NodeType"
        assert code(world, ask_health(node_type="phone")) == "OK"

    @pytest.mark.parametrize(
        ("call", "refused"),
        [
            (ask_health(node_type=""), "MissingNodeType"),
            (ask_health(node_type="waba"), "InvalidParameter.NodeType"),
            (ask_health(space=""), "MissingCustSpaceId"),
            (ask_health(""), "MissingPhoneNumber"),
            (ask_health("+447700900001"), "InvalidParameter.PhoneNumber"),
            (ask_health("447700900099"), "Unknown.ResourceOwnerId"),
        ],
    )
    def test_each_wrong_request_has_its_code(self, world: World, call: Call, refused: str) -> None:
        assert code(world, call) == refused


class TestEachOperation:
    @pytest.mark.parametrize("call", EACH.values(), ids=EACH)
    def test_a_signature_is_checked(self, world: World, call: Call) -> None:
        assert code(world, replace(call, secret="wrong")) == "SignatureDoesNotMatch"
        assert code(world, call) == "OK"

    @pytest.mark.parametrize(("operation", "limit"), [(STATUS, 10), (INSTANCES, 10), (PHONE_NUMBERS, 10), (HEALTH, 5)])
    def test_an_operation_has_its_own_limit_a_second(self, world: World, operation: str, limit: int) -> None:
        """And takes no place of another's, but all of them count for the account."""
        for other in EACH.keys() - {operation}:
            assert code(world, EACH[other]) == "OK"
        codes = [code(world, EACH[operation]) for _ in range(limit + 1)]
        assert codes[:-1] == limit * ["OK"]
        assert codes[-1] == ("Throttling.User" if operation == STATUS else "System.LimitControl")
        assert world.busiest_second("care", operation) == limit + 1
        assert world.busiest_second("care") == world.surely_in_a_second("care") == limit + 4

    def test_accounts_do_not_share_an_operations_limit(self, world: World) -> None:
        world.add_account("other", "other-key", "other-secret")
        for _ in range(6):
            code(world, ask_health())
        theirs = replace(ask_health(), key="other-key", secret="other-secret")
        assert code(world, theirs) == "Unknown.ResourceOwnerId"

    @pytest.mark.parametrize("operation", EACH)
    def test_an_operation_is_throttled_alone_and_as_scripted(self, world: World, operation: str) -> None:
        rules = world.accounts["care"].calls[operation]
        rules.rate_limit, rules.throttle = 0, Throttle(503, Refusal.THROTTLED, pause_ms=1500)
        reply = judge(world, EACH[operation]).reply
        assert (reply.status, reply.outcome) == (503, "Throttling.User")
        assert reply.headers["x-acs-retry-after"] == "1500"
        assert {code(world, call) for other, call in EACH.items() if other != operation} == {"OK"}

    @pytest.mark.parametrize("operation", EACH)
    def test_an_account_may_lack_the_permission_for_one(self, world: World, clock: FakeClock, operation: str) -> None:
        rules = world.accounts["care"].calls[operation]
        rules.refusal = Steps(Refusal.PERMISSION_DENIED, ((10.0, None),))
        assert code(world, EACH[operation]) == "Ram.PermissionDeny"
        assert {code(world, call) for other, call in EACH.items() if other != operation} == {"OK"}
        clock.advance(10)
        assert code(world, EACH[operation]) == "OK"

    @pytest.mark.parametrize("operation", EACH)
    def test_an_account_may_lack_the_permission_for_a_space(
        self, world: World, clock: FakeClock, operation: str
    ) -> None:
        """Each operation that names the space is refused, of another space none."""
        world.add_space("care", SPACE).refusal = Steps(Refusal.FORBIDDEN, ((10.0, None),))
        world.add_number("care", "cams-second", PHONE)
        call = EACH[operation]
        assert code(world, call) == ("OK" if operation == INSTANCES else "Forbidden.RAM")
        assert code(world, replace(call, query={**call.query, "CustSpaceId": "cams-second"})) == "OK"
        clock.advance(10)
        assert code(world, call) == "OK"

    @pytest.mark.parametrize("call", EACH.values(), ids=EACH)
    def test_an_account_that_is_refused_is_refused_each(self, world: World, call: Call) -> None:
        world.accounts["care"].refusal = Refusal.UNSUBSCRIBED
        assert code(world, call) == "Product.Unsubscript"

    @pytest.mark.parametrize("operation", EACH)
    def test_an_operations_fault_is_its_own_and_goes_before_the_accounts(self, world: World, operation: str) -> None:
        world.accounts["care"].fault = faults.close()
        world.accounts["care"].calls[operation].fault = faults.reset()
        played = {name: judge(world, call).fault for name, call in EACH.items()}
        assert {name: fault and fault.name for name, fault in played.items()} == {
            name: "reset" if name == operation else "close" for name in EACH
        }

    @pytest.mark.parametrize("operation", EACH)
    def test_an_injected_fault_waits_for_its_operation(self, world: World, operation: str) -> None:
        world.inject(faults.close(), operation=operation)
        assert all(judge(world, call).fault is None for other, call in EACH.items() if other != operation)
        assert judge(world, EACH[operation]).fault is not None
        assert judge(world, EACH[operation]).fault is None

    def test_a_fault_of_a_space_meets_its_listing_and_one_of_a_number_its_call(
        self, world: World, number: Number
    ) -> None:
        world.add_space("care", SPACE).fault = faults.html()
        number.fault, number.health_fault = faults.bare(), faults.codeless()
        world.add_number("care", "cams-second", PHONE)
        played = {name: judge(world, call).fault for name, call in EACH.items()}
        assert {name: fault and fault.name for name, fault in played.items()} == {
            STATUS: "bare_502",
            INSTANCES: None,
            PHONE_NUMBERS: "html_200",
            HEALTH: "codeless_500",
        }
        assert judge(world, list_numbers("cams-second")).fault is None
        assert judge(world, ask_health(space="cams-second")).fault is None

    @pytest.mark.parametrize("operation", EACH)
    def test_an_operation_has_its_own_latency(self, world: World, operation: str) -> None:
        world.accounts["care"].calls[operation].latency_seconds = (2.0, 2.0)
        assert {name: judge(world, call).delay_seconds for name, call in EACH.items()} == {
            name: 2.0 if name == operation else 0.0 for name in EACH
        }

    def test_an_arrival_names_its_operation(self, world: World) -> None:
        for call in EACH.values():
            judge(world, call)
        judge(world, replace(Call(), action="SendSms"))
        assert [arrival.operation for arrival in world.arrivals()] == [*EACH, ""]
        assert [arrival.outcome for arrival in world.arrivals("care", HEALTH)] == ["OK"]
        assert world.outcomes(operation=INSTANCES) == {"OK": 1}


class TestMasks:
    def test_the_status_masks_number_and_id(self, world: World, number: Number) -> None:
        world.accounts["care"].calls[STATUS].masked = True
        data = document(world, Call())["Data"]
        assert (data["PhoneNumber"], data["Id"]) == ("44770090****", f"{number.id[:-4]}****")

    def test_the_listings_mask_theirs(self, world: World) -> None:
        for operation in (INSTANCES, PHONE_NUMBERS):
            world.accounts["care"].calls[operation].masked = True
        assert (spaces(world), listed(world)) == (["cams-****"], ["44770090****"])

    def test_health_masks_every_id(self, world: World) -> None:
        world.accounts["care"].calls[HEALTH].masked = True
        phone, waba, business = document(world, ask_health())["Data"]["Entities"]
        assert all(text.endswith("****") for text in (phone["PhoneNumber"], waba["WabaId"], business["BusinessId"]))

    def test_masks_come_and_go(self, world: World, clock: FakeClock) -> None:
        world.accounts["care"].calls[PHONE_NUMBERS].masked = Steps(False, ((10.0, True),))
        before = listed(world)
        clock.advance(10)
        assert (before, listed(world)) == ([PHONE], ["44770090****"])
