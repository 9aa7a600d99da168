"""Read the configuration file: its top level, `api`, `accounts`, and the checks that span several keys.

Where a value is refused, reading goes on with the default, to find all other faults.  The result is never used then.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from exporter.config.account_numbers import AccountNumbers
from exporter.config.credential_types import DEFAULT_CREDENTIALS, read_credentials
from exporter.config.crowding import crowded
from exporter.config.discovery import read_discover, read_health, warn_of_numbers
from exporter.config.durations import MINUTE, YEAR, approximately, format_duration
from exporter.config.hash_key import HASH_KEY, HASH_KEY_FILE, read_hash_key
from exporter.config.numbers import Labeller, hashed, masked, parse_text, redact
from exporter.config.readers import certificates, duration, parse_endpoint
from exporter.config.settings import (
    DEFAULT_ENDPOINT,
    DEFAULT_QPS,
    DEFAULT_QUOTA,
    DEFAULT_SCRAPE_INTERVAL_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
    AccountConfig,
    ApiConfig,
    Config,
)
from exporter.config.shared_quotas import warn_of_shared_quotas
from exporter.config.strict_yaml import KeyPath, Section, one_of, show
from exporter.config.strict_yaml import load as load_yaml
from exporter.config.times import Times
from exporter.errors import ConfigError

CONFIG_KEYS = (
    "scrape_interval",
    "stale_after",
    "phone_number_label",
    HASH_KEY,
    HASH_KEY_FILE,
    "api",
    "accounts",
)
API_KEYS = ("endpoint", "timeout", "ca_file")
ACCOUNT_KEYS = ("name", "qps", "quota", "credentials", "discover", "health", "number_files", "label_columns", "numbers")

FULL, MASKED, HASHED = LABELS = ("full", "masked", "hashed")
"""The values of `phone_number_label`."""

MAX_ACCOUNT_NAME = 128
MIN_RATE, MAX_RATE = 0.001, 1000.0
"""Bounds of `qps` and `quota`, in requests per second."""

MIN_INTERVAL_SECONDS = 1.0
MIN_TIMEOUT_SECONDS = 0.001
MAX_TIMEOUT_SECONDS = 5 * MINUTE


def load(path: Path) -> Config:
    """The configuration in the file at `path`; raises ConfigError with all its faults."""
    reading = read(path)
    if reading.error is not None or reading.config is None:
        raise reading.error or AssertionError("refused without a fault")
    return reading.config


class Reading(NamedTuple):
    """What a file says.  Where there is an `error`, `config` is incomplete and must not be used."""

    config: Config | None
    error: ConfigError | None


def read(path: Path, *, files: bool = True) -> Reading:
    """Read the file at `path`, and the `files` that it names unless told otherwise."""
    try:
        document = load_yaml(path)
    except ConfigError as error:
        return Reading(None, error)
    document.takes_variables, document.reads_files = False, files
    root = Section.root(document, CONFIG_KEYS, dict.fromkeys(ACCOUNT_KEYS, "an entry of accounts"))
    mode = root.text("phone_number_label", one_of(LABELS), FULL) if root else None
    loader = _Loader(root, mode) if root else None
    config = loader.config(path) if loader else None
    faults: list[str] = []
    try:
        key_faults = document.check(str if mode == FULL else redact)
    except ConfigError as error:
        faults += error.faults
    faults += dict.fromkeys(loader.file_faults) if loader else ()  # two accounts may name one file
    if faults:
        return Reading(config, ConfigError(faults))
    if config is not None:
        config = replace(config, warnings=tuple(document.warnings()), key_faults=tuple(key_faults))
    return Reading(config, None)


class _Loader:
    """One reading of one file; keeps what the accounts are compared with."""

    def __init__(self, root: Section, mode: str | None) -> None:
        self._root = root
        self._mode = mode
        least = MIN_INTERVAL_SECONDS
        self._interval = duration(root, "scrape_interval", least, YEAR, DEFAULT_SCRAPE_INTERVAL_SECONDS)
        self._stale_after = duration(root, "stale_after", least, YEAR)
        self._labeller = self._read_labeller()
        self._names: dict[str, KeyPath] = {}
        self._discovers: KeyPath = ()
        self.file_faults: list[str] = []
        """The faults of number files."""

    def config(self, path: Path) -> Config:
        """What the file says; must not be used where the document has a fault."""
        if self._interval and self._stale_after and self._stale_after < self._interval:
            stale_after, interval = format_duration(self._stale_after), format_duration(self._interval)
            self._root.fault(
                "stale_after",
                f"{stale_after} is shorter than scrape_interval ({interval}); write at least 3 times that",
            )
        api = _read_api(self._root)
        sections = self._root.sections("accounts", ACCOUNT_KEYS, required='write a list of "- name: ..."')
        accounts = [(section, self._read_account(section, path)) for section in sections]
        warn_of_shared_quotas(accounts)
        if self._discovers and self._mode == MASKED:
            self._root.fault(
                "phone_number_label",
                "masked cannot be used with discover (line {first}): numbers may look the same; write hashed or full",
                self._discovers,
            )
        return Config(
            path,
            self._interval or DEFAULT_SCRAPE_INTERVAL_SECONDS,
            self._mode or FULL,
            api,
            tuple(account for _, account in accounts),
            stale_after_seconds=self._stale_after,
            labeller=self._labeller,
        )

    def _read_labeller(self) -> Labeller:
        key = read_hash_key(self._root, wanted=self._mode == HASHED) if self._mode else None
        if self._mode == MASKED:
            return masked
        return hashed(key) if key else str

    def _read_account(self, section: Section, path: Path) -> AccountConfig:
        name = self._read_name(section)
        qps, quota = _read_rates(section)
        credentials = read_credentials(section)
        read = AccountNumbers(section, name, path, self._labeller, str if self._mode == FULL else redact)
        self.file_faults += read.file_faults
        account = AccountConfig(
            name,
            qps,
            quota,
            0.0,
            credentials or DEFAULT_CREDENTIALS,
            tuple(read.numbers),
            tuple(read.lists),
            read.files,
            read_discover(section),
            read_health(section),
        )
        if account.discover is not None and not self._discovers:
            self._discovers = (*section.path, "discover")
        interval = self._interval or DEFAULT_SCRAPE_INTERVAL_SECONDS
        times = account.times(interval)
        for _, key, said in crowded(account, times, interval):
            section.warn(next(name for name in (key, "number_files", "discover") if name in section), said)
        warn_of_numbers(section, account)
        return replace(account, stale_after_seconds=self._stale_after_seconds(name, times))

    def _read_name(self, section: Section) -> str:
        read = partial(parse_text, max_characters=MAX_ACCOUNT_NAME)
        name = section.text("name", read, required="write a name, unique among the accounts")
        if name is None:
            return ""
        first = self._names.setdefault(name, section.path)
        if first is not section.path:
            what = f"{show(name)} is already the name of the account in line {{first}}; write another"
            section.fault("name", what, first=(*first, "name"))
        return sys.intern(name)

    def _stale_after_seconds(self, account: str, times: Times) -> float:
        """`times` are those of an account without `stale_after`."""
        default, poll_seconds = times.stale_after_seconds, times.poll_seconds
        if self._stale_after is None:
            return default
        if self._stale_after < default:
            between = "between two polls" if self._stale_after < poll_seconds else "after few failed polls"
            self._root.warn(
                "stale_after",
                f"{format_duration(self._stale_after)} is short for account {show(account)}, whose numbers "
                f"are polled every {approximately(poll_seconds)}: they will read UNKNOWN {between}; "
                f"write {approximately(default)}, or remove the line",
            )
        return self._stale_after


def _read_api(root: Section) -> ApiConfig:
    api = root.section("api", API_KEYS)
    if api is None:
        return ApiConfig()
    endpoint = api.text("endpoint", parse_endpoint, DEFAULT_ENDPOINT)
    timeout = duration(api, "timeout", MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS)
    ca_file = certificates(api, "ca_file")
    if ca_file and endpoint and endpoint.startswith("http:"):
        api.fault("ca_file", "has no effect with an http endpoint; remove it")
    return ApiConfig(endpoint or DEFAULT_ENDPOINT, timeout or DEFAULT_TIMEOUT_SECONDS, ca_file)


def _read_rates(section: Section) -> tuple[float, float]:
    """`qps` and `quota`."""
    qps = section.number("qps", MIN_RATE, MAX_RATE, DEFAULT_QPS)
    quota = section.number("quota", MIN_RATE, MAX_RATE, DEFAULT_QUOTA)
    if qps and quota and qps > quota:
        if "qps" in section:
            cure = "lower it, or raise quota if Alibaba Cloud raised the account's limit"
            section.fault("qps", f"{qps:g} is more than the quota of {quota:g}; {cure}")
        else:
            section.fault("quota", f"{quota:g} is less than qps, {qps:g} unless given; write qps too")
    return qps or DEFAULT_QPS, quota or DEFAULT_QUOTA
