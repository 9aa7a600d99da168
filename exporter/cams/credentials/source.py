"""Where an account's credential comes from.  A look-up never waits: slow work happens on another thread.

Keys and STS tokens from the configuration, inline or in files, are used as they are.  Every other type is fetched
through Alibaba Cloud's own library, by `sdk`, on a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from exporter.cams.credentials.key_files import KeyFiles, Values
from exporter.cams.credentials.sdk import connect_with, reason_of
from exporter.config import CredentialsConfig
from exporter.errors import CredentialsError
from exporter.logs import fields
from exporter.model import Clock, Credential
from exporter.threads import start_daemon

logger = logging.getLogger(__name__)

FETCH_SECONDS = 60.0
"""How often the library is asked: it keeps its credential and fetches a new one 15 minutes before that expires."""

MIN_FETCH_SECONDS = 10.0
"""The least time between two fetches, even if the API refuses the key."""

FIRST_BACKOFF_SECONDS = 1.0

Fetch = Callable[[], Credential]
Connect = Callable[[Values], Fetch]
"""Makes a `Fetch` from the keys of the configuration.  Both may be slow and may raise anything."""

_CURES = {
    "ram_role_arn": "check role_arn, its trust policy, and the key that assumes it",
    "ecs_ram_role": "check that this is an ECS instance with a RAM role attached",
    "oidc_role_arn": "check role_arn, oidc_provider_arn, and the token file",
    "rsa_key_pair": "check public_key_id and private_key_file",
    "credentials_uri": "check that credentials_uri answers",
    "default": "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or configure credentials",
}


class KeySource:
    """The keys themselves, as they stand in the configuration or in files now.  Thread-safe, as every source is."""

    def __init__(self, keys: KeyFiles) -> None:
        self._keys = keys
        self._changes = 0
        self._credential: Credential | None = None

    def get(self) -> Credential:
        """The credential to sign with, as of the last look at the files.  Raises CredentialsError, which names them."""
        if self._credential is None:
            self.changes()
        return self._credential or Credential(**self._keys.values())  # which says what is wrong with them

    def changes(self) -> int:
        """How often the credential changed, the first one included; looks at key files, and does not wait."""
        changes = self._keys.changes()
        if changes != self._changes:
            self._credential, self._changes = Credential(**self._keys.values()), changes
        return changes

    def ready(self) -> bool:
        """False until the first look for a credential ended, with or without success; a file is read at once."""
        return True

    def refresh(self) -> None:
        """Get a fresh credential soon, since the API refused this one: read the files now."""
        self._keys.check_soon()
        self.changes()

    def close(self) -> None:
        """Fetch no more; the credential stays.  Here there is nothing to end."""


class FetchedSource:
    """A credential that a thread fetches in advance.  The thread starts at the first question.

    While fetching fails the last credential stays in use.
    """

    def __init__(self, connect: Connect, keys: KeyFiles, clock: Clock, owner: str, kind: str) -> None:
        self._connect = connect
        self._keys = keys
        self._clock = clock
        self._owner = owner
        self._kind = kind
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._anew = False  # the built client may keep a refused key: build a new one
        self._key_changes: int | None = None  # of the files, at the last fetch
        self._changes = 0
        self._credential: Credential | None = None
        self._fault = "no credential was fetched yet"
        self._ended_once = False
        # only the thread uses the rest
        self._fetch: Fetch | None = None
        self._built_with: Values | None = None
        self._failures = 0
        self._said = ""
        self._fetch_at = self._last_at = clock.monotonic()

    def get(self) -> Credential:
        """See KeySource."""
        with self._lock:
            self._start()
            if self._credential is None:
                raise CredentialsError(self._fault)
            return self._credential

    def ready(self) -> bool:
        """See KeySource."""
        with self._lock:
            self._start()
            return self._ended_once

    def changes(self) -> int:
        """See KeySource; after a change of a key file the next fetch comes at once."""
        if self._keys.changes() != self._key_changes:
            self._wake.set()
        with self._lock:
            return self._changes

    def refresh(self) -> None:
        """See KeySource: build a client and fetch, unless that was done a moment ago."""
        with self._lock:
            self._anew = True
        self._wake.set()

    def close(self) -> None:
        """End the thread after its current call."""
        with self._lock:
            self._closed = True
        self._wake.set()

    def step(self) -> float:
        """Fetch if that is due; returns the seconds until the next time."""
        now, key_changes = self._clock.monotonic(), self._keys.changes()
        with self._lock:
            anew = self._anew
            due_at = min(self._fetch_at, self._last_at + MIN_FETCH_SECONDS) if anew else self._fetch_at
            if self._closed or (now < due_at and key_changes == self._key_changes):
                return due_at - now
            self._anew, self._key_changes = False, key_changes
        try:
            credential = self._fetched(anew)
        except Exception as error:  # noqa: BLE001 - the library raises anything: log it, keep the old one, retry
            wait = self._failed(error)
        else:
            wait = self._succeeded(credential)
        self._last_at = self._clock.monotonic()
        self._fetch_at = self._last_at + wait
        return wait

    def _fetched(self, anew: bool) -> Credential:
        values = self._keys.values()
        if anew or self._fetch is None or values is not self._built_with:
            self._fetch, self._built_with = self._connect(values), values
        return self._fetch()

    def _succeeded(self, credential: Credential) -> float:
        self._failures = 0
        if self._said:
            logger.info("credentials are fetched again", extra=fields(account=self._owner, type=self._kind))
            self._said = ""
        with self._lock:
            self._changes += credential != self._credential
            self._credential = credential
            self._ended_once = True
        return FETCH_SECONDS

    def _failed(self, error: Exception) -> float:
        self._fetch = None
        reason = str(error) if isinstance(error, CredentialsError) else f"{reason_of(error)}; {_CURES[self._kind]}"
        with self._lock:
            self._fault = f"credentials of type {self._kind}: {reason}"
            self._ended_once = True
        if reason != self._said:
            logger.warning("cannot fetch credentials", extra=fields(account=self._owner, type=self._kind, error=reason))
            self._said = reason
        self._failures += 1
        return min(FETCH_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 10))

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            # OSError if the machine has no thread left: the next question tries again
            self._thread = start_daemon(self._run, f"credentials-{self._owner}")

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(max(0.0, self.step()))
            self._wake.clear()


CredentialSource = KeySource | FetchedSource


def credential_source(config: CredentialsConfig, clock: Clock, name: str, proxy: str = "") -> CredentialSource:
    """The source that `config` describes, for the account `name`; does nothing yet.  `proxy` is its `api.proxy`."""
    keys = KeyFiles(config.secrets, clock, name)
    if config.type in {"access_key", "sts"}:
        return KeySource(keys)
    return FetchedSource(connect_with(config, proxy), keys, clock, name, config.type)
