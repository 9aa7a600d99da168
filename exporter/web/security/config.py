"""The file of `--web.config.file`: TLS, basic authentication, headers and a rate limit, as Prometheus's exporters do.

The schema is exporter-toolkit's, read strictly: what the toolkit would ignore, or fail on later, is a fault here, with
its line.  As in the toolkit, an empty file is valid and protects nothing.  Empty sections are valid too, with a warning
where a protection is missing.  `http_server_config.http2` is accepted and changes nothing: this server speaks HTTP/1.1,
and says so in ALPN.

Source: exporter-toolkit, docs/web-configuration.md and web/*.go (v0.8 to v0.14).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from exporter.config.strict_yaml import Section, is_word, load, show
from exporter.web.security.tls import KEYS as TLS_KEYS
from exporter.web.security.tls import TlsServer, read_tls

KEYS = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
MAX_BYTES = 1024 * 1024

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, and the values each may have (none: any)."""

MAX_COST = 18
"""Of a bcrypt hash: each wrong password takes some 20 s of CPU time.  Each step beyond doubles that."""

MAX_BURST = 1_000_000_000

_HASH = re.compile(r"\$2([aby]?)\$([0-9]{2})\$([./A-Za-z0-9]{21})([./A-Za-z0-9])([./A-Za-z0-9]{31})", re.ASCII)
_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
_GO_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_GO_DURATION = re.compile(rf"\+?(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h)){{1,20}}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One request per `interval_seconds` on average, `burst` of them at once."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """How the web server is protected.  `users` maps names to bcrypt hashes.

    `warnings` name what is allowed but probably a mistake.
    """

    tls: TlsServer | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit: RateLimit | None = None
    warnings: tuple[str, ...] = ()

    @property
    def protects(self) -> bool:
        """Whether there is anything in it."""
        return self.tls is not None or bool(self.users or self.headers or self.rate_limit)

    def summary(self) -> str:
        """What protects the server, in words."""
        tls = "no TLS" if self.tls is None else "TLS"
        if self.tls is not None and self.tls.requires_client:
            tls += " with client certificates"
        users = f"{len(self.users) or 'no'} user{'' if len(self.users) == 1 else 's'}"
        return f"{tls}, {users}, {'no' if self.rate_limit is None else 'a'} rate limit"


def load_web_config(path: Path, files: list[Path] | None = None, *, look_into_files: bool = True) -> WebConfig:
    """The web configuration in the file at `path`; raises ConfigError with all its faults.

    The files that it names are added to `files`, also where it raises.  Without `look_into_files` the result has no
    certificates: it can be checked, not used.
    """
    document = load(path, MAX_BYTES)
    document.reads_files = look_into_files
    if files is not None:
        document.files = files
    root = Section.root(document, KEYS) if document.data is not None else None
    config = _read(root) if root is not None else WebConfig()
    document.check()
    return replace(config, warnings=tuple(document.warnings()))


def _read(root: Section) -> WebConfig:
    tls = _section(root, "tls_server_config", TLS_KEYS, "connections are not encrypted; write cert_file and key_file")
    http = _section(root, "http_server_config", ("http2", "headers"))
    limit = _section(root, "rate_limit", ("interval", "burst"))
    return WebConfig(
        tls=read_tls(tls) if tls is not None else None,
        users=_read_users(root),
        headers=_read_headers(http) if http is not None else {},
        rate_limit=_read_rate_limit(limit) if limit is not None else None,
    )


def _section(section: Section, key: str, keys: tuple[str, ...] | None, missing: str = "") -> Section | None:
    """The mapping at `key`; None where it is empty or absent.  `missing` says what to warn of where it is empty."""
    if missing and key in section and not section.value(key):
        section.warn(key, f"is empty: {missing}, or remove the line")
    found = None if section.value(key) is None else section.section(key, keys)
    return found if found is not None and list(found) else None


def _read_users(root: Section) -> Mapping[str, str]:
    section = _section(root, "basic_auth_users", None, "nobody needs a password; write users")
    if section is None:
        return {}
    users = {}
    for user in section:
        if ":" in user:  # what follows it may be the hash: not shown
            what = f"the user name {show(user.partition(':')[0] + ':…')} holds a colon and cannot log in (RFC 7617)"
            section.fault_of_hidden(user, f"{what}; write another")
            continue
        hashed = section.text(user, _bcrypt, secret=True)
        if hashed is not None:
            users[user] = hashed
    return MappingProxyType(users)


def _bcrypt(text: str) -> str:
    found = _HASH.fullmatch(text)
    if not found:
        raise ValueError(
            "is not a bcrypt hash; make one with: htpasswd -nBC 10 '' | tr -d ':\\n' (Debian: apache2-utils)"
        )
    minor, cost, salt, last, digest = found.groups()
    if not 4 <= int(cost) <= MAX_COST:
        raise ValueError(f"is a bcrypt hash of cost {int(cost)}; write one of cost 4 to {MAX_COST}, 10 is usual")
    # Of the salt's last character only two bits count.  Unlike Go, the library refuses a hash whose others are not 0.
    last = _ALPHABET[_ALPHABET.index(last) & 0b110000]
    return f"$2{minor or 'a'}${cost}${salt}{last}{digest}"


def _read_headers(http: Section) -> Mapping[str, str]:
    http.boolean("http2")
    section = _section(http, "headers", None)
    if section is None:
        return {}
    headers = {}
    for name in section:
        if name not in HEADERS:
            shown = f" {show(name)}" if is_word(name) else ""  # else it may be a secret
            what = f"HTTP header{shown} can not be configured; write one of {', '.join(HEADERS)}"
            section.fault_of_hidden(name, what)
            continue
        number = "" if HEADERS[name] else section.integer_text(name)  # X-XSS-Protection: 0 is text in Go
        if value := number or section.text(name, partial(_header_value, name)):
            headers[name] = value
    return MappingProxyType(headers)


def _header_value(name: str, text: str) -> str:
    allowed = HEADERS[name]
    if allowed and text not in allowed:
        raise ValueError(f"invalid value for {name}: {show(text)}; write {' or '.join(allowed)}")
    if not _HEADER_VALUE.fullmatch(text) or text != text.strip():
        raise ValueError(f"invalid value for {name}: {show(text)}; write printable ASCII on one line")
    return text


def _read_rate_limit(section: Section) -> RateLimit | None:
    is_zero = section.integer_text("interval") == "0"
    interval = 0.0 if is_zero else section.text("interval", go_duration, 0.0, unquoted=_unquoted_interval)
    burst = section.number("burst", 0, MAX_BURST, 0)
    if interval is None or burst is None or interval == 0:
        return None
    if burst < 1 or burst != int(burst):
        section.fault("burst", f"{burst:g} requests at once would let none through; write a whole number from 1 on")
        return None
    return RateLimit(interval, int(burst))


def _unquoted_interval(written: str) -> str:
    return f"{written} has no unit; write {written}s"


def go_duration(text: str) -> float:
    """The seconds of a duration as Go reads it: ``1.5s``, ``1m30s``, ``250ms``, ``0``; ValueError with the cure."""
    if text in {"0", "+0"}:
        return 0.0
    if text.startswith("-"):
        raise ValueError(f"{show(text)} is negative; write for example 1s, or 0 for no limit")
    if not _GO_DURATION.fullmatch(text):
        raise ValueError(f"{show(text)} is not a duration; write for example 1s, 250ms or 1m30s")
    return sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_PART.findall(text))
