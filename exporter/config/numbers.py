"""Phone numbers: reading them, what people see of them, and a check that no two are the same.

Source: ITU-T E.164 for the form of a number; Prometheus documentation, "Data model", for label names.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from exporter.config.strict_yaml import Section, show
from exporter.model import DIGIT_RUN, PhoneNumber

NUMBER_KEYS = ("phone_number", "cust_space_id", "name", "labels")

HASH_CHARACTERS = 12
SHOWN_START = 6
SHOWN_END = 2
MIN_HIDDEN = 5
"""A mask always hides this many digits; fewer only where a number has fewer before its last two."""

MAX_TEXT = 256
"""Characters of a name, a space ID or a label's value: each scrape holds them."""

Labeller = Callable[[str], str]
"""Makes of a number's digits what people see of it."""

TARGET_LABELS = frozenset({"job", "instance"})
"""Prometheus sets these itself.  It would rename ours to exported_job."""

RESERVED_LABELS = frozenset({"account", "cust_space_id", "name", "phone_number", "phone_number_id", "verified_name"})
"""The labels that `cams_phone_number_info` has anyway.  This folder does not import the catalogue; a test compares the
two."""

_NUMBER = re.compile(r"[1-9][0-9]{4,14}")
_SEPARATORS = re.compile(r"[\s().\-/]")
_EXAMPLE = re.compile(r"[<>*{}]|^your", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def masked(digits: str) -> str:
    """``861380*****34``: the first six digits and the last two; fewer of a short number."""
    start = max(0, min(SHOWN_START, len(digits) - MIN_HIDDEN - SHOWN_END))
    hidden = len(digits) - start - SHOWN_END
    return digits[:start] + "*" * hidden + digits[-SHOWN_END:]


def hashed(key: bytes) -> Labeller:
    """Labels of 12 hexadecimal digits: HMAC-SHA-256 with `key` over the number's digits."""

    def label(digits: str) -> str:
        return hmac.digest(key, digits.encode("ascii"), hashlib.sha256).hex()[:HASH_CHARACTERS]

    return label


def redact(text: str) -> str:
    """`text` with everything that could be a phone number masked."""
    return DIGIT_RUN.sub(lambda match: masked(re.sub(r"\D", "", match[0])), text)


def redact_message(text: str, number: PhoneNumber) -> str:
    """`text`, which is for people and about `number`, with what may be shown of phone numbers.

    Where the number is hidden, it is its label, and other numbers are masked.
    """
    if number.label == number.phone_number:
        return text
    return number.label.join(map(redact, number.redacted(text).split(number.label)))


def parse_phone_number(text: str) -> str:
    """The digits of a number, without a leading +; raises ValueError whose text says what to write."""
    digits = text.removeprefix("+")
    if _NUMBER.fullmatch(digits):
        return digits
    shown = show(text)
    cleaned = _SEPARATORS.sub("", digits)
    if cleaned != digits and _NUMBER.fullmatch(cleaned):
        raise ValueError(f'{shown} holds more than digits; write "{cleaned}"')
    if re.fullmatch("0[0-9]+", cleaned):
        raise ValueError(f"{shown} begins with 0; write the country code first, without 0 or 00 before it")
    if re.fullmatch("[0-9]+", cleaned):
        raise ValueError(f"{shown} has {len(cleaned)} digits; write 5 to 15, country code included")
    raise ValueError(f"{shown} is not a phone number; write its country code and number in digits")


def digits_of(text: str) -> str:
    """The digits of a phone number in any usual spelling, with +, spaces or dashes.

    Empty if `text` is not a whole phone number, for example if it is masked.
    """
    digits = _SEPARATORS.sub("", text.replace("+", ""))
    return digits if _NUMBER.fullmatch(digits) else ""


def parse_text(text: str, max_characters: int = MAX_TEXT) -> str:
    """A name or an ID: not empty, not too long, without control characters; raises ValueError."""
    if not text:
        raise ValueError("is empty; fill it in")
    if len(text) > max_characters:
        raise ValueError(f"has {len(text)} characters; write at most {max_characters}")
    if _CONTROL.search(text):
        raise ValueError(f"{show(text)} holds a line break or another control character; remove it")
    return text


def parse_space_id(text: str) -> str:
    """The ID of a space or an instance, as the console shows it; raises ValueError."""
    parse_text(text)
    if text != text.strip():
        raise ValueError(f"{show(text)} has a space at its beginning or end; remove it")
    if " " in text or not text.isprintable():  # of all white space only this one prints
        raise ValueError(f"{show(text)} holds a space or an invisible character; remove it")
    if _EXAMPLE.search(text):
        raise ValueError(f"{show(text)} is an example; write the whole ID, as the console shows it")
    return text


def _label_value(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"has {len(text)} characters; write at most {MAX_TEXT}")
    return sys.intern(text)


class NumberReader:
    """Reads the numbers of one account."""

    def __init__(self, account: str, labeller: Labeller) -> None:
        self._account = sys.intern(account)
        self._labeller = labeller
        self._label_sets: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}

    def read(self, section: Section) -> PhoneNumber | None:
        """The number, or None where it or its space is refused."""
        digits = section.text("phone_number", parse_phone_number, required="write its digits in quotes")
        space = section.text("cust_space_id", parse_space_id, required="write the number's space or instance ID")
        name = section.text("name", parse_text, "")
        labels = self._labels(section)
        if digits is None or space is None:
            return None
        return PhoneNumber(self._account, sys.intern(space), digits, self._labeller(digits), name or "", labels)

    def _labels(self, section: Section) -> tuple[tuple[str, str], ...]:
        given = section.section("labels", None)
        if given is None:
            return ()
        read: list[tuple[str, str]] = []
        for name in given:
            if fault := label_name_fault(name):
                given.fault(name, fault)
            value = given.text(name, _label_value)
            if value is not None:
                read.append((name, value))
        labels = tuple(sorted(read))
        return self._label_sets.setdefault(labels, labels)


class Clash(NamedTuple):
    """Why a number is refused; ``{first}`` in the message stands for the place of the first one."""

    message: str
    first: str


class Places:
    """Where each number of an account stands; finds two that are the same or look the same."""

    def __init__(self, labeller: Labeller) -> None:
        self._labeller = labeller
        self._places: dict[str, dict[str, tuple[str, str, int]]] = {}

    def add(self, number: PhoneNumber, file: str, line: int) -> Clash | None:
        """Note where the number stands; a clash if it is the second with its label in its space."""
        of_space = self._places.setdefault(number.cust_space_id, {})
        place = (number.phone_number, file, line)
        first = of_space.setdefault(number.label, place)
        if first is place:
            return None
        digits, first_file, first_line = first
        where = f"line {first_line}" if first_file == file else f"{first_file}:{first_line}"
        if digits == number.phone_number:
            return Clash(f"{digits} is already given for this space, in {{first}}; remove one", where)
        cure = "phone_number_label: hashed" if self._labeller is masked else "another hash key"
        return Clash(f"its label is also that of the number in {{first}}; write {cure}", where)


def label_name_fault(name: str) -> str:
    """Why Prometheus or the exporter would refuse a label of this name; empty if neither does."""
    if not _LABEL_NAME.fullmatch(name):
        return "is not a label name; write letters, digits and _, not beginning with a digit"
    if name.startswith("__"):
        return "begins with __, which Prometheus keeps for itself; write another name"
    if name in RESERVED_LABELS:
        return "is a label that cams_phone_number_info has anyway; write another name"
    if name in TARGET_LABELS:
        return "is a label that Prometheus itself sets on every series; write another name"
    return ""
