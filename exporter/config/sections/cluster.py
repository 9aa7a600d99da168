"""The section `cluster`: the store that the replicas share, the lease, and what happens while the store is away."""

from __future__ import annotations

import importlib.util
import re
import ssl
from collections.abc import Sequence
from pathlib import Path

from exporter.config.readers import certificates, duration, is_host, is_loopback, split_url
from exporter.config.settings import (
    DEFAULT_KEY_PREFIX,
    DEFAULT_LEASE_SECONDS,
    MAX_LEASE_SECONDS,
    MIN_LEASE_SECONDS,
    AccountConfig,
    ClusterConfig,
    Secret,
)
from exporter.config.strict_yaml import Section, one_of, show
from exporter.model import spare_qps

CLUSTER_KEYS = (
    "url",
    "sentinels",
    "master_name",
    "tls",
    "allow_plaintext",
    "username",
    "password",
    "password_file",
    "ca_file",
    "cert_file",
    "key_file",
    "lease",
    "replicas",
    "key_prefix",
    "without_store",
)
TLS_FILES = ("ca_file", "cert_file", "key_file")

POLL, STOP = WITHOUT_STORE = ("poll", "stop")
"""The values of `without_store`."""

MAX_REPLICAS = 100
_FORMS = "write rediss://HOST:PORT/0, unix:///PATH, or sentinels and master_name instead"


def read_cluster(root: Section) -> ClusterConfig | None:
    """The section `cluster`; None where there is none.  Must not be used where the document has a fault."""
    if "cluster" not in root:
        return None
    given = root.section("cluster", CLUSTER_KEYS)
    if given is None:
        return None
    if root.document.reads_files and importlib.util.find_spec("redis") is None:
        root.fault("cluster", "needs a library that is not installed; run: pip install 'cams-exporter[cluster]'")
    url = given.text("url", _parse_url, "")
    sentinels = given.texts("sentinels", _parse_sentinel)
    master_name = given.text("master_name", _parse_name, "")
    _check_place(given)
    uses_tls = _uses_tls(given, url, sentinels)
    lease = duration(given, "lease", MIN_LEASE_SECONDS, MAX_LEASE_SECONDS, DEFAULT_LEASE_SECONDS)
    ca_file, cert_file, key_file = _read_tls_files(given, uses_tls=uses_tls)
    return ClusterConfig(
        replicas=_read_replicas(given),
        url=url or "",
        sentinels=sentinels or (),
        master_name=master_name or "",
        tls=uses_tls,
        username=given.text("username", _parse_name, "") or "",
        password=_read_password(given),
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        lease_seconds=lease or DEFAULT_LEASE_SECONDS,
        key_prefix=given.text("key_prefix", _parse_prefix, DEFAULT_KEY_PREFIX) or DEFAULT_KEY_PREFIX,
        stops_without_store=given.text("without_store", one_of(WITHOUT_STORE), POLL) == STOP,
        written_url=given.written("url"),
    )


def warn_of_no_spare(root: Section, cluster: ClusterConfig | None, accounts: Sequence[AccountConfig]) -> None:
    """Warn of accounts that are not polled while the store is away, because nothing of the quota is left for that."""
    if cluster is None or cluster.stops_without_store:
        return
    without = [each for each in accounts if not spare_qps(each.qps, each.quota, cluster.replicas)]
    if without:
        first = without[0]
        others = f" and {len(without) - 1} more" if len(without) > 1 else ""
        cure = f"write qps: {first.quota - cluster.replicas:g} or less" if first.quota > cluster.replicas else ""
        root.warn(
            "cluster",
            f"account {show(first.name)}{others} will not be polled while the store is away: quota less qps leaves "
            f"{first.quota - first.qps:g}/s for {cluster.replicas} replicas, not 1/s for each; "
            + (cure or f"lower replicas, or write without_store: {STOP}"),
        )


def _check_place(given: Section) -> None:
    """Exactly one way to find the store is given, and all of it."""
    if "url" in given and "sentinels" in given:
        given.fault("sentinels", "url is given as well; remove one of the two")
    elif "sentinels" in given:
        if not given.value("sentinels"):
            given.fault("sentinels", 'is empty; write a list of "HOST:PORT"')
        if "master_name" not in given:
            given.fault("sentinels", "need master_name; write the name that the Sentinels give to the store")
    elif "url" not in given:
        given.fault("url", f"is missing; {_FORMS}")
    if "sentinels" not in given:
        for key in ("master_name", "tls"):
            if key in given:
                cure = "write rediss:// in url for TLS" if key == "tls" else "remove it, or write sentinels"
                given.fault(key, f"has no effect without sentinels; {cure}")


def _uses_tls(given: Section, url: str | None, sentinels: Sequence[tuple[str, int]] | None) -> bool:
    """Whether the store is asked over TLS.  Without it, and beyond this machine, `allow_plaintext` is needed."""
    allowed = given.boolean("allow_plaintext", default=False)
    if sentinels:
        uses_tls = bool(given.boolean("tls", default=False))
        hosts, key, cure = [host for host, _ in sentinels], "sentinels", "write tls: true"
    else:
        uses_tls = (url or "").startswith("rediss:")
        hosts, key, cure = [], "url", "write rediss://"
        if url and url.startswith("redis:"):
            hosts = [split_url(url).hostname or ""]
    if not uses_tls and not allowed and not all(map(is_loopback, hosts)):
        given.fault(
            key,
            f"the password and the numbers would travel in clear text; {cure}, or allow_plaintext: true in a network "
            "that you trust",
        )
    return uses_tls


def _read_replicas(given: Section) -> int:
    if "replicas" not in given:
        given.fault("replicas", "is missing; write how many there are at most, with those that a rollout adds")
    return given.whole_number("replicas", 1, 1, MAX_REPLICAS) or 1


def _read_password(given: Section) -> Secret | None:
    name = given.given("password")
    if name == "password":
        value = given.text(name, _parse_password, secret=True)
        return Secret(value, None) if value else None
    file = given.file(name)
    if file is None:
        return None
    if given.document.reads_files:
        try:
            password_in(file.read_bytes())
        except (OSError, ValueError) as error:
            given.fault(name, str(error) if isinstance(error, ValueError) else "cannot be read; fix its permissions")
    return Secret(None, file)


def password_in(content: bytes) -> str:
    """The password in a file, without one line break at its end; raises ValueError."""
    return _parse_password(content.decode("utf-8-sig", "replace").removesuffix("\n").removesuffix("\r"))


def _parse_password(text: str) -> str:
    if not text:
        raise ValueError("is empty; write the password, or remove the line")
    if not text.isprintable() or len(text) > 1024:
        raise ValueError("holds more than one line of at most 1024 characters; write the password alone")
    return text


def _read_tls_files(given: Section, *, uses_tls: bool) -> tuple[Path | None, Path | None, Path | None]:
    ca_file, cert_file, key_file = certificates(given, "ca_file"), given.file("cert_file"), given.file("key_file")
    for key in TLS_FILES:
        if key in given and not uses_tls:
            given.fault(key, "has no effect without TLS; write rediss:// in url, or tls: true with sentinels")
    if ("cert_file" in given) is not ("key_file" in given):
        alone, lacking = ("cert_file", "key_file") if "cert_file" in given else ("key_file", "cert_file")
        given.fault(alone, f"needs {lacking} too; write both, or none")
    elif cert_file and key_file and given.document.reads_files:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file, password=lambda: "")
        except (OSError, ValueError):  # of ssl.SSLError too
            given.fault("cert_file", "is no certificate in PEM form for key_file, without a password; name a pair")
    return ca_file, cert_file, key_file


def _parse_url(text: str) -> str:
    if "@" in text:
        raise ValueError("holds a user name or password; remove it, and write username and password_file")
    parts = split_url(text)
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.startswith("/") or parts.fragment or not _is_database(parts.query, "db="):
            raise ValueError("is not the address of a unix socket; write unix:///PATH, with ?db=1 for database 1")
        return text
    host = parts.hostname or ""
    if parts.scheme not in {"redis", "rediss"} or not is_host(host, bracketed="[" in parts.netloc):
        raise ValueError(f"is not the URL of a store; {_FORMS}")
    if parts.query or parts.fragment or not _is_database(parts.path.removeprefix("/"), ""):
        raise ValueError(f"has more than host, port and database; write {parts.scheme}://{parts.netloc}/0")
    return text


def _is_database(text: str, prefix: str) -> bool:
    return not text or bool(re.fullmatch(f"{prefix}[0-9]{{1,4}}", text))


def _parse_sentinel(text: str) -> tuple[str, int]:
    try:
        parts = split_url(f"//{text}")
        is_valid = parts.netloc == text and "@" not in text
    except ValueError:
        is_valid = False
    if not is_valid or not is_host(parts.hostname or "", bracketed="[" in text):
        raise ValueError("is not the address of a Sentinel; write HOST:PORT, usually with port 26379")
    return parts.hostname or "", parts.port or 26379


def _parse_name(text: str) -> str:
    if not text or len(text) > 128 or not text.isprintable():
        raise ValueError("is not a name; write 1 to 128 printable characters")
    return text


def _parse_prefix(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9._:-]{1,64}", text):
        raise ValueError("is not a prefix of keys; write 1 to 64 letters, digits, or any of ._:-")
    return text
