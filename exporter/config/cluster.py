"""The section `cluster` of the configuration: which store the replicas share, and how.  Frozen; it reads nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.settings import Secret

DEFAULT_LEASE_SECONDS = 15.0
DEFAULT_KEY_PREFIX = "cams-exporter"


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The replicas' store and the lease.

    Either `url` names the store (redis://, rediss:// or unix://, without a password), or `sentinels` (host and port)
    and `master_name` find it; then `tls` says whether it and they speak TLS.
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
