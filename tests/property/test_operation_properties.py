"""Whatever comes back, an operation gives its value or an ApiError; and spaces are listed whole or not at all."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from requests import Response
from requests.structures import CaseInsensitiveDict

from exporter.cams.answers import MAX_MESSAGE, Redaction, read_payload
from exporter.cams.operations import (
    GetPhoneNumberVerificationStatus,
    GetWhatsappHealthStatus,
    InstancePage,
    ListInstance,
    NumberListing,
    Operation,
    QueryChatappPhoneNumbers,
)
from exporter.cams.operations.phone_numbers import messaging_limit
from exporter.config.numbers import digits_of, redact
from exporter.errors import ApiError
from exporter.model import Space
from tests.support.listings import all_spaces
from tests.support.numbers import number

SECRET = "the-secret"
NUMBER = number(label="hidden")
OPERATIONS: tuple[Operation[Any], ...] = (
    GetPhoneNumberVerificationStatus(NUMBER),
    ListInstance(1),
    QueryChatappPhoneNumbers("cams-kei0001", redact),
    GetWhatsappHealthStatus(NUMBER),
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters()) | st.sampled_from(
    [
        "OK",
        "",
        " ",
        NUMBER.phone_number,
        f"+{NUMBER.phone_number}",
        "86138****",
        SECRET,
        "CONNECTED",
        "TIER_1K",
        "BLOCKED",
    ]
)


def objects(*names: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects that may have these fields, mostly of the right type."""
    known: dict[str, st.SearchStrategy[Any]] = {**dict.fromkeys(names, texts), **more}
    return st.fixed_dictionaries({}, optional={name: known[name] | values for name in known})


def lists(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(entries, max_size=4)


instances = objects("CustSpaceId", "InstanceId", "InstanceName", "ChannelType", "State")
phone_numbers = objects(
    "PhoneNumber",
    "Status",
    "QualityRating",
    "MessagingLimitTier",
    "NameStatus",
    "CodeVerificationStatus",
    "VerifiedName",
)
reasons = objects("ErrorCode", "ErrorDescription", "PossibleSolution")
health = objects("CanSendMessage", Entities=lists(objects("EntityType", Errors=lists(reasons))))
lookalikes = objects(
    "Message",
    "RequestId",
    Code=st.just("OK"),
    Success=st.just(True),
    TotalCount=st.integers(-1, 9),
    Data=lists(instances) | health,
    PhoneNumbers=lists(phone_numbers),
).map(lambda payload: json.dumps(payload).encode())
bodies = st.binary(max_size=300) | lookalikes


def response(status: int, body: bytes) -> Response:
    made = Response()
    made.status_code, made.headers, made.raw = status, CaseInsensitiveDict(), io.BytesIO(body)
    return made


def texts_of(value: object) -> Iterator[str]:
    """Every text in a result."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from texts_of(each)
    elif is_dataclass(value):
        for each_field in fields(value):
            yield from texts_of(getattr(value, each_field.name))


@given(st.sampled_from(OPERATIONS), st.just(200) | st.integers(100, 999), bodies)
def test_any_status_and_any_bytes(operation: Operation[Any], status: int, body: bytes) -> None:
    """A success is a 2xx that says OK.  Its texts are bounded, printable but for a status, and name no secret."""
    try:
        payload = read_payload(
            response(status, body), Redaction(operation.number, (SECRET,), operation.hide), 1 << 20, 0.0, 0.0
        )
        result: object = operation.read(payload)
    except ApiError as error:
        found = [error.code, error.message, error.request_id]
    else:
        assert 200 <= status < 300
        assert json.loads(body)["Code"] == "OK"
        found = list(texts_of(result))
        if isinstance(result, NumberListing):
            digits = [each.phone_number for each in result.numbers]
            assert len(set(digits)) == len(digits)
            assert all(digits_of(each) == each for each in digits)
            found = [text for text in found if text not in digits]
    for text in found:
        assert len(text) <= MAX_MESSAGE
        assert NUMBER.phone_number not in text or isinstance(operation, ListInstance)  # it is no number there
        assert SECRET not in text
        text.encode()  # no lone surrogate: it will be written to the exposition
        if operation is not OPERATIONS[0]:
            assert text.isprintable()


@given(st.lists(phone_numbers, max_size=5))
def test_a_listing_has_every_number_of_the_answer_or_is_refused(entries: list[Any]) -> None:
    """No entry is skipped: a number that is left out would be unwatched."""
    body = json.dumps({"Code": "OK", "PhoneNumbers": entries}).encode()
    operation = QueryChatappPhoneNumbers("cams-kei0001")
    written = [entry.get("PhoneNumber") for entry in entries if isinstance(entry, dict)]
    digits = {digits_of(str(each)) for each in written if isinstance(each, str | int) and not isinstance(each, bool)}
    is_whole = (
        len(written) == len(entries)
        and "" not in digits
        and all(isinstance(each, str | int) and not isinstance(each, bool) for each in written)
    )
    try:
        payload = read_payload(response(200, body), Redaction(None), 1 << 20, 0.0, 0.0)
        listed = operation.read(payload)
    except ApiError:
        assert not is_whole
    else:
        assert is_whole
        assert {each.phone_number for each in listed.numbers} == digits


@given(texts | st.text(max_size=200))
def test_a_tier_is_a_positive_number_or_none(tier: str) -> None:
    limit = messaging_limit(tier)
    assert limit is None or (limit >= 0 and not math.isnan(limit))


@dataclass
class Server:
    """A server of so many spaces that pages as it likes."""

    spaces: list[str]
    page_size: int
    total: int | None
    lost: frozenset[int]
    """Pages whose last entry is left out."""
    repeats_from: int
    """From this page on, every page is the first one."""
    asked: int = 0

    def ask(self, operation: ListInstance) -> InstancePage:
        self.asked += 1
        index = 1 if operation.page_index >= self.repeats_from else operation.page_index
        size = min(self.page_size, operation.page_size)
        found = self.spaces[(index - 1) * size : index * size]
        if index in self.lost:
            found = found[:-1]
        return InstancePage(tuple(Space(each, each) for each in found), self.total, "", 0.0)


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.sampled_from(["right", "none"]) | st.integers(0, 70),
    st.frozensets(st.integers(1, 4), max_size=2),
    st.none() | st.integers(2, 5),
)
def test_spaces_are_listed_whole_or_not_at_all(
    count: int, page_size: int, said: str | int, lost: frozenset[int], repeats_from: int | None
) -> None:
    """However a server pages, the listing ends; and where its total is right, no space is missing."""
    spaces = [f"cams-{index}" for index in range(count)]
    total = count if said == "right" else None if said == "none" else int(said)
    server = Server(spaces, page_size, total, lost, repeats_from or 1_000)
    try:
        found = all_spaces(server.ask)
    except ApiError:
        assert total != count or lost or repeats_from is not None
    else:
        assert len(set(found)) == len(found)
        if said == "right":
            assert {space.cust_space_id for space in found} == set(spaces)
    assert server.asked <= count // page_size + 2
