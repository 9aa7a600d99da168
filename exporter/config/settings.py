"""The configuration as the rest of the exporter sees it: frozen, validated, no secret in a repr.

It reads nothing: `loader` makes these from a file.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.config.times import HEALTH_QPS, LISTING_QPS, ROUNDING, Regular, Times, shares
from exporter.model import PhoneNumber, pace_qps

DEFAULT_SCRAPE_INTERVAL_SECONDS = 60.0
DEFAULT_QPS = 5.0
DEFAULT_QUOTA = 10.0
DEFAULT_ENDPOINT = "https://cams.ap-southeast-1.aliyuncs.com"
DEFAULT_TIMEOUT_SECONDS = 10.0
DEFAULT_STALE_AFTER_SECONDS = 15 * 60.0
DEFAULT_REFRESH_INTERVAL_SECONDS = 5 * 60.0
DEFAULT_MAX_NUMBERS = 10_000
DEFAULT_FORGET_AFTER_SECONDS = 24 * 3600.0
DEFAULT_HEALTH_INTERVAL_SECONDS = 5 * 60.0
DEFAULT_LEASE_SECONDS = 15.0
MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 3.0, 300.0
DEFAULT_KEY_PREFIX = "cams-exporter"
STALE_AFTER_POLLS = 3
"""By default a status stays valid for this many polls of its number, whatever the interval.  What a health check says
stays valid for as many checks, what a listing says for as many listings."""

MIN_LISTING_VALID_SECONDS = 6 * 3600.0
"""What a listing says stays valid at least this long."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, either inline (`value`) or in a file (`file`: absolute, read when needed).

    `written` is the file's name as it is written, if that holds variables; messages show it in place of the file.
    """

    value: str | None = field(repr=False)
    file: Path | None = field(repr=False)  # by mistake it may be the secret itself
    written: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CredentialsConfig:
    """Where an account's credential comes from.

    `secrets` holds those of access_key_id, access_key_secret and security_token that the type uses.  `options` holds
    the rest, named as in `alibabacloud_credentials.models.Config`; role_session_expiration is in seconds.  Both are
    read-only, and no repr shows them.
    """

    type: str
    secrets: Mapping[str, Secret] = field(repr=False)
    options: Mapping[str, str | int | bool] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """How the API is reached.  `endpoint` is scheme://host[:port]; `timeout_seconds` is for a whole request.

    `written_endpoint` is how it is written, if that holds variables; people are shown this.

    `proxy` is the URL of an HTTP proxy, maybe with a password.  Empty: the one that the environment names, if any.
    """

    endpoint: str = DEFAULT_ENDPOINT
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ca_file: Path | None = None
    proxy: str = field(default="", repr=False)
    written_endpoint: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DiscoverConfig:
    """Which numbers of an account are found by asking the API.

    `spaces` are the spaces to list; None: all that the API lists.  `exclude` are digits of numbers that are not polled
    because they were found: a number that the configuration or a number file names is polled all the same.  At most
    `max_numbers` found numbers are polled.  A number that is no longer listed leaves after `forget_after_seconds`.
    """

    spaces: tuple[str, ...] | None = None
    refresh_interval_seconds: float = DEFAULT_REFRESH_INTERVAL_SECONDS
    exclude: frozenset[str] = field(default=frozenset(), repr=False)
    max_numbers: int = DEFAULT_MAX_NUMBERS
    forget_after_seconds: float = DEFAULT_FORGET_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """How often each number of an account is asked whether it can send."""

    interval_seconds: float = DEFAULT_HEALTH_INTERVAL_SECONDS


@dataclass(frozen=True, slots=True)
class NumberFiles:
    """The number files of an account: globs, and the columns of CSV files that become labels.

    Relative globs start from `folder`, which is absolute; messages and metrics show `shown_folder` in its place.
    `labeller` makes of a number what people see of it, `redact` of a message what may be shown.
    """

    globs: tuple[str, ...]
    label_columns: tuple[str, ...]
    folder: Path
    shown_folder: str
    labeller: Callable[[str], str] = field(repr=False)
    redact: Callable[[str], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NumberList:
    """Where numbers come from: a file, the digest of its content, and the line of each number."""

    file: str
    digest: bytes = field(repr=False)
    lines: array[int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """One Alibaba Cloud account: its budget in requests per second, its credentials, its numbers.

    `lists` say where the numbers come from, in their order: first the configuration itself, then the number files.
    `written_stale_after_seconds` is what is written for the account or at the top; None: by default.
    """

    name: str
    qps: float
    quota: float
    stale_after_seconds: float
    credentials: CredentialsConfig
    numbers: tuple[PhoneNumber, ...] = field(repr=False)
    lists: tuple[NumberList, ...] = ()
    number_files: NumberFiles | None = None
    discover: DiscoverConfig | None = None
    health: HealthConfig | None = None
    scrape_interval_seconds: float = DEFAULT_SCRAPE_INTERVAL_SECONDS
    written_stale_after_seconds: float | None = None
    api: ApiConfig = field(default_factory=ApiConfig)

    def places(self) -> Iterator[tuple[str, int]]:
        """The file and the line of each of `numbers`."""
        return ((of.file, line) for of in self.lists for line in of.lines)

    @property
    def pace_qps(self) -> float:
        """Requests per second that are really sent: a little below `qps` and `quota`."""
        return pace_qps(self.qps, self.quota)

    def with_numbers(self, numbers: tuple[PhoneNumber, ...], lists: tuple[NumberList, ...]) -> AccountConfig:
        """The account with other numbers, and the time for which a status counts that goes with them."""
        changed = replace(self, numbers=numbers, lists=lists)
        return replace(changed, stale_after_seconds=changed.times().stale_after_seconds)

    def times(self, numbers: int | None = None, spaces: int | None = None) -> Times:
        """The times with `numbers` numbers, of which discovery lists `spaces` spaces.

        By default as many as `numbers`, and the spaces that are known without a listing.  With `spaces: all` one more
        request lists up to 100 spaces; requests for more are not counted.
        """
        count = len(self.numbers) if numbers is None else numbers
        listed = len(self.known_spaces) if spaces is None else spaces
        polls, listing, checks = self._wanted(count, listed)
        got = shares(self.pace_qps, polls, listing, checks)
        poll_seconds = polls.seconds(got.polls)
        stale_after = self.written_stale_after_seconds or default_stale_after_seconds(poll_seconds)
        refresh_seconds = listing.seconds(got.listing) if self.discover else None
        health_seconds = checks.seconds(got.health) if self.health else None
        return Times(
            count,
            listed,
            got,
            count / self.pace_qps,
            poll_seconds,
            stale_after,
            refresh_seconds,
            refresh_seconds and max(MIN_LISTING_VALID_SECONDS, stale_after, STALE_AFTER_POLLS * refresh_seconds),
            health_seconds,
            health_seconds and health_valid_seconds(stale_after, health_seconds),
        )

    def room(self) -> int:
        """The most numbers that can be polled and checked at their intervals, with the spaces that are known."""
        polls, listing, checks = self._wanted(1, len(self.known_spaces))
        in_budget = (self.pace_qps - listing.possible_qps) / (polls.wanted_qps + checks.wanted_qps)
        in_limit = checks.max_qps / checks.wanted_qps if self.health else math.inf
        return math.floor(max(0.0, min(in_budget, in_limit)) * ROUNDING)

    def _wanted(self, numbers: int, spaces: int) -> tuple[Regular, Regular, Regular]:
        """Polls, listings and health checks."""
        discover, health = self.discover, self.health
        requests = spaces + (discover.spaces is None) if discover else 0
        return (
            Regular(numbers, self.scrape_interval_seconds, math.inf),
            Regular(requests, discover.refresh_interval_seconds if discover else 1.0, LISTING_QPS),
            Regular(numbers if health else 0, health.interval_seconds if health else 1.0, HEALTH_QPS),
        )

    @property
    def known_spaces(self) -> frozenset[str]:
        """The spaces that discovery lists, as far as they are known without a listing.  Empty without `discover`."""
        if self.discover is None:
            return frozenset()
        return frozenset(self.discover.spaces or {number.cust_space_id for number in self.numbers})


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The store that the replicas share, and the lease of an account.

    Either `url` names the store (redis://, rediss:// or unix://, without a password), or `sentinels` (host and port)
    and `master_name` find it; then `tls` says whether it and they speak TLS.  `replicas` is how many there are at most.
    `stops_without_store`: nothing is polled while the store is away.  `written_url` is how `url` is written, if that
    holds variables; people are shown this.
    """

    replicas: int
    url: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    master_name: str = ""
    tls: bool = False
    username: str = ""
    password: Secret | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    lease_seconds: float = DEFAULT_LEASE_SECONDS
    key_prefix: str = DEFAULT_KEY_PREFIX
    stops_without_store: bool = False
    written_url: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """A valid configuration, read from `path`.  `warnings` name what is allowed but probably a mistake.

    What the top says of intervals and of the API stands in each account, as it is in force there.
    `key_faults` are the faults of key files.  Such files come and go while the exporter runs: an account without a key
    is refused, the others are polled.  `cluster`: this is one of several replicas.
    """

    path: Path | None
    phone_number_label: str
    accounts: tuple[AccountConfig, ...]
    warnings: tuple[str, ...] = ()
    key_faults: tuple[str, ...] = ()
    digest: bytes | None = field(default=None, repr=False, compare=False)
    """That of the file's content; None if it was a stream, which cannot be read again."""
    shown: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)
    """Makes what the page ``/config`` shows; the first time it takes as long as reading the file."""
    cluster: ClusterConfig | None = None
    labeller: Callable[[str], str] = field(default=str, repr=False, compare=False)
    """Makes of a number's digits what people see of it, as `phone_number_label` says."""


def default_stale_after_seconds(poll_seconds: float) -> float:
    """How long a status counts by default where a number is polled every `poll_seconds`."""
    return max(DEFAULT_STALE_AFTER_SECONDS, STALE_AFTER_POLLS * poll_seconds)


def health_valid_seconds(stale_after_seconds: float, health_seconds: float) -> float:
    """How long a verdict counts where a number is checked every `health_seconds`."""
    return max(stale_after_seconds, STALE_AFTER_POLLS * health_seconds)
