"""Read the configuration file: its top level, `api`, `accounts`, and the checks that span several keys.

Where a value is refused, reading goes on with the default, to find all other faults.  The result is never used then.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from exporter.config.crowding import crowded
from exporter.config.durations import MINUTE, YEAR, approximately, format_duration
from exporter.config.numbers import Labeller, hashed, masked, parse_text, redact
from exporter.config.readers import certificates, duration, parse_endpoint, parse_proxy
from exporter.config.sections.account_numbers import AccountNumbers
from exporter.config.sections.cluster import read_cluster, warn_of_no_spare
from exporter.config.sections.credential_types import DEFAULT_CREDENTIALS, read_credentials
from exporter.config.sections.discovery import read_discover, read_health, warn_of_numbers
from exporter.config.sections.hash_key import HASH_KEY, HASH_KEY_FILE, read_hash_key
from exporter.config.sections.shared_quotas import warn_of_shared_quotas
from exporter.config.settings import (
    DEFAULT_QPS,
    DEFAULT_QUOTA,
    DEFAULT_SCRAPE_INTERVAL_SECONDS,
    AccountConfig,
    ApiConfig,
    Config,
    default_stale_after_seconds,
)
from exporter.config.shown import Shown
from exporter.config.strict_yaml import KeyPath, Section, Variables, expand, one_of, show
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
    "cluster",
    "accounts",
)
API_KEYS = ("endpoint", "timeout", "ca_file", "proxy")
ACCOUNT_KEYS = (
    "name",
    "qps",
    "quota",
    "scrape_interval",
    "stale_after",
    "api",
    "credentials",
    "discover",
    "health",
    "number_files",
    "label_columns",
    "numbers",
)

FULL, MASKED, HASHED = LABELS = ("full", "masked", "hashed")
"""The values of `phone_number_label`."""

MAX_ACCOUNT_NAME = 128
MIN_RATE, MAX_RATE = 0.001, 1000.0
"""Bounds of `qps` and `quota`, in requests per second."""

MIN_INTERVAL_SECONDS = 1.0
MIN_TIMEOUT_SECONDS = 0.001
MAX_TIMEOUT_SECONDS = 5 * MINUTE


def load(path: Path, variables: Variables = Variables()) -> Config:  # noqa: B008 - it is immutable
    """The configuration in the file at `path`; raises ConfigError with all its faults."""
    reading = read(path, variables)
    if reading.error is not None or reading.config is None:
        raise reading.error or AssertionError("refused without a fault")
    return reading.config


class Reading(NamedTuple):
    """What a file says.  Where there is an `error`, `config` is incomplete and must not be used."""

    config: Config | None
    error: ConfigError | None


def read(path: Path, variables: Variables = Variables(), *, files: bool = True) -> Reading:  # noqa: B008 - it is immutable
    """Read the file at `path`, and the `files` that it names unless told otherwise."""
    try:
        document = load_yaml(path, streams=True)
    except ConfigError as error:
        return Reading(None, error)
    document.reads_files = files
    expand(document, variables)
    only_of_accounts = [key for key in ACCOUNT_KEYS if key not in CONFIG_KEYS]
    root = Section.root(document, CONFIG_KEYS, dict.fromkeys(only_of_accounts, "an entry of accounts"))
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
        shown = Shown(document, variables, config.labeller).text
        config = replace(config, warnings=tuple(document.warnings()), key_faults=tuple(key_faults), shown=shown)
    return Reading(config, None)


class _Loader:
    """One reading of one file; keeps what the accounts are compared with."""

    def __init__(self, root: Section, mode: str | None) -> None:
        self._root = root
        self._mode = mode
        self._interval, self._stale_after = _read_intervals(root, DEFAULT_SCRAPE_INTERVAL_SECONDS, None)
        self._api = _read_api(root, ApiConfig())
        self._labeller = self._read_labeller()
        self._names: dict[str, KeyPath] = {}
        self._discovers: KeyPath = ()
        self.file_faults: list[str] = []
        """The faults of number files."""

    def config(self, path: Path) -> Config:
        """What the file says; must not be used where the document has a fault."""
        sections = self._root.sections("accounts", ACCOUNT_KEYS, required='write a list of "- name: ..."')
        # a stream is in no folder: files are relative to the working folder, and shown so
        beside = path if self._root.document.digest is not None else Path(path.name)
        accounts = [(section, self._read_account(section, beside)) for section in sections]
        cluster = read_cluster(self._root)
        warn_of_shared_quotas(accounts, cluster)
        warn_of_no_spare(self._root, cluster, [account for _, account in accounts])
        if self._discovers and self._mode == MASKED:
            self._root.fault(
                "phone_number_label",
                "masked cannot be used with discover (line {first}): numbers may look the same; write hashed or full",
                self._discovers,
            )
        return Config(
            path,
            self._mode or FULL,
            tuple(account for _, account in accounts),
            cluster=cluster,
            labeller=self._labeller,
            digest=self._root.document.digest,
        )

    def _read_labeller(self) -> Labeller:
        key = read_hash_key(self._root, wanted=self._mode == HASHED) if self._mode else None
        if self._mode == MASKED:
            return masked
        return hashed(key) if key else str

    def _read_account(self, section: Section, path: Path) -> AccountConfig:
        name = self._read_name(section)
        qps, quota = _read_rates(section)
        interval, stale_after = _read_intervals(section, self._interval, self._stale_after)
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
            interval,
            stale_after,
            _read_api(section, self._api),
        )
        if account.discover is not None and not self._discovers:
            self._discovers = (*section.path, "discover")
        times = account.times()
        for what, key, said in crowded(account, times):
            if what != "stale_after":
                section.warn(next(name for name in (key, "number_files", "discover") if name in section), said)
        warn_of_numbers(section, account)
        self._warn_of_short_stale_after(section, account, times)
        return replace(account, stale_after_seconds=times.stale_after_seconds)

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

    def _warn_of_short_stale_after(self, section: Section, account: AccountConfig, times: Times) -> None:
        stale_after, poll_seconds = times.stale_after_seconds, times.poll_seconds
        default = default_stale_after_seconds(poll_seconds)
        if stale_after < default:
            between = "between two polls" if stale_after < poll_seconds else "after few failed polls"
            (section if "stale_after" in section else self._root).warn(
                "stale_after",
                f"{format_duration(stale_after)} is short for account {show(account.name)}, whose numbers "
                f"are polled every {approximately(poll_seconds)}: they will read UNKNOWN {between}; "
                f"write {approximately(default)}, or remove the line",
            )


def _read_intervals(section: Section, interval: float, stale_after: float | None) -> tuple[float, float | None]:
    """`scrape_interval` and `stale_after` of the top, or of an account; those given here hold where it has none."""
    own = duration(section, "scrape_interval", MIN_INTERVAL_SECONDS, YEAR, interval)
    own_stale_after = duration(section, "stale_after", MIN_INTERVAL_SECONDS, YEAR, stale_after)
    if own and own_stale_after and own_stale_after < own:
        short, long = format_duration(own_stale_after), format_duration(own)
        if "stale_after" in section:
            section.fault(
                "stale_after", f"{short} is shorter than scrape_interval ({long}); write at least 3 times that"
            )
        elif "scrape_interval" in section:
            what = f"{long} is longer than stale_after at the top ({short}); write stale_after here too, 3 times that"
            section.fault("scrape_interval", what)
    return own or interval, own_stale_after or stale_after


def _read_api(section: Section, default: ApiConfig) -> ApiConfig:
    """The section `api` of the top, or of an account; `default` holds for what it does not have."""
    api = section.section("api", API_KEYS)
    if api is None:
        return default
    endpoint = api.text("endpoint", parse_endpoint, default.endpoint)
    timeout = duration(api, "timeout", MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS, default.timeout_seconds)
    ca_file = certificates(api, "ca_file") if "ca_file" in api else default.ca_file
    proxy = api.text("proxy", parse_proxy, default.proxy, secret=True)
    if endpoint and endpoint.startswith("http:"):
        for key, value in (("ca_file", ca_file), ("proxy", proxy)):
            if key in api and value:
                api.fault(key, "has no effect with an http endpoint; remove it")
    written = api.written("endpoint") if "endpoint" in api else default.written_endpoint
    return ApiConfig(endpoint or default.endpoint, timeout or default.timeout_seconds, ca_file, proxy or "", written)


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
