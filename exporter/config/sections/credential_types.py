"""The types of `credentials` that an account may have, the keys of each type, and what each key may hold.

It fetches no credential.  It reads key files to say what is wrong with them.  Such a fault does not stop a start: other
accounts can be polled, and the file may be created later.

Every type of that library is here but `bearer`: the library's documentation says that only Cloud Call Center takes it.

Source: the providers of alibabacloud-credentials 1.0.12, which use no other keys; Alibaba Cloud's STS reference,
AssumeRole and AssumeRoleWithOIDC, for the forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from exporter.config.durations import HOUR, MINUTE, parse_duration
from exporter.config.readers import is_loopback, parse_host, split_url
from exporter.config.secrets import parse_key, read_key
from exporter.config.settings import CredentialsConfig, Secret
from exporter.config.strict_yaml import UNSHOWN, Section, one_of, read_named

SECRETS = ("access_key_id", "access_key_secret", "security_token")
"""Each is written as KEY or as KEY_file."""


@dataclass(frozen=True, slots=True)
class _Type:
    """The secrets and options of a type: those that it `needs`, and those that it `may` have."""

    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()

    def takes(self) -> set[str]:
        """Every key that has an effect."""
        keys = {*self.needs, *self.may}
        return {"type", *keys, *(f"{key}_file" for key in keys.intersection(SECRETS))}


_KEY = ("access_key_id", "access_key_secret")
_ROLE = ("role_session_name", "role_session_expiration", "policy", "sts_endpoint")

TYPES = {
    "access_key": _Type(_KEY),
    "sts": _Type(SECRETS),
    "ram_role_arn": _Type((*_KEY, "role_arn"), ("security_token", *_ROLE, "external_id")),
    "ecs_ram_role": _Type((), ("role_name", "disable_imds_v1")),
    "oidc_role_arn": _Type(("role_arn", "oidc_provider_arn", "oidc_token_file_path"), _ROLE),
    "credentials_uri": _Type(("credentials_uri",)),
    "rsa_key_pair": _Type(("public_key_id", "private_key_file"), ("role_session_expiration", "sts_endpoint")),
    "default": _Type(),
}

CREDENTIALS_KEYS = ("type", *sorted(set().union(*(kind.takes() for kind in TYPES.values())) - {"type"}))

DEFAULT_CREDENTIALS = CredentialsConfig("default", MappingProxyType({}), MappingProxyType({}))

_MIN_SESSION_SECONDS = 30 * MINUTE
_MAX_SESSION_SECONDS = 12 * HOUR
_MAX_POLICY = 2048


def read_credentials(account: Section) -> CredentialsConfig | None:
    """The account's credentials; the default chain where there are none; None where they are refused."""
    if "credentials" not in account:
        return DEFAULT_CREDENTIALS
    section = account.section("credentials", CREDENTIALS_KEYS)
    if section is None:
        return None
    name = section.text("type", _type, secret=True, required=f"write type: and one of {', '.join(TYPES)}")
    if name is None:
        return None
    kind = TYPES[name]
    for key in section:
        if key in CREDENTIALS_KEYS and key not in kind.takes():
            section.fault(key, f"has no effect with type: {name}; remove it, or write the type it belongs to")
    keys = {key: key in kind.needs for key in (*kind.needs, *kind.may)}
    secrets = {key: _secret(section, key, needed) for key, needed in keys.items() if key in SECRETS}
    options = {key: _option(section, key, needed) for key, needed in keys.items() if key not in SECRETS}
    return CredentialsConfig(
        name,
        MappingProxyType({key: secret for key, secret in secrets.items() if secret is not None}),
        MappingProxyType({key: value for key, value in options.items() if value is not None}),
    )


def _type(text: str) -> str:
    if text == "bearer":
        cure = f"write one of {', '.join(TYPES)}"
        raise ValueError(f"bearer signs no request, and CAMS needs a signature; {cure}")
    return one_of(TYPES)(text)


def _secret(section: Section, key: str, needed: bool) -> Secret | None:
    name = section.given(key)
    if name != key and name in section:
        file = section.file_for_later(name, partial(_key_in_file, key))
        return Secret(None, file, section.written(name)) if file else None
    required = f"write {key} or {name}" if needed else ""
    value = section.text(key, _inline, required=required, secret=True)
    return Secret(value, None) if value else None


def _key_in_file(key: str, folder: Path, name: str) -> None:
    try:
        read_key(folder, name)
    except ValueError as error:
        cure = f", or write {key} instead if this is the secret itself" if str(error).startswith(UNSHOWN) else ""
        raise ValueError(f"{error}{cure}") from None


def _inline(text: str) -> str:
    if not text:
        raise ValueError("is empty; write the secret, or name its file with the key that ends in _file")
    return parse_key(text)


def _option(section: Section, key: str, needed: bool) -> str | int | bool | None:
    required = "write it, or type: default to use what the environment holds" if needed else ""
    if key == "disable_imds_v1":
        return section.boolean(key)
    if key in {"oidc_token_file_path", "private_key_file"}:
        file = section.file_for_later(key, partial(read_named, max_bytes=1), required=required)
        return str(file) if file else None
    value = section.text(key, _READERS[key], required=required, secret=True)
    if key == "credentials_uri" and value and not _is_private(str(value)):
        section.warn(key, "brings credentials over the network in clear text; write https")
    return value


def _is_private(uri: str) -> bool:
    parts = split_url(uri)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _session_seconds(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not _MIN_SESSION_SECONDS <= seconds <= _MAX_SESSION_SECONDS:
        raise ValueError("is no duration from 30m to 12h; write for example 1h")
    return int(seconds)


def _matching(pattern: str, cure: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"has another form than it should; write {cure}")
        return text

    return read


def _policy(text: str) -> str:
    try:
        is_policy = len(text) <= _MAX_POLICY and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_policy = False
    if is_policy:
        return text
    raise ValueError(f"is not a RAM policy; write a JSON object of at most {_MAX_POLICY} characters, quoted")


def _credentials_uri(text: str) -> str:
    parts = split_url(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not a URL; write http:// or https://, a host and a path")
    if parts.username is not None or parts.fragment:
        raise ValueError("holds a user name or a #fragment, which would not be sent; remove it")
    return text


_READERS: dict[str, Callable[[str], str | int]] = {
    "role_arn": _matching(r"acs:ram::[0-9]+:role/[A-Za-z0-9._/-]+", "acs:ram::ACCOUNT-ID:role/ROLE-NAME"),
    "oidc_provider_arn": _matching(
        r"acs:ram::[0-9]+:oidc-provider/[A-Za-z0-9._/-]+", "acs:ram::ACCOUNT-ID:oidc-provider/PROVIDER-NAME"
    ),
    "role_session_name": _matching(r"[A-Za-z0-9.@_-]{2,64}", "2 to 64 letters, digits, or any of .@-_"),
    "public_key_id": _matching(r"[A-Za-z0-9._-]{1,128}", "the ID that the console shows for the public key"),
    "role_name": _matching(r"[A-Za-z0-9._-]{1,64}", "the role's name: letters, digits, or any of .-_"),
    "external_id": _matching(r"[A-Za-z0-9+=,.@:/_-]{2,1224}", "2 to 1224 of letters, digits and +=,.@:/-_"),
    "role_session_expiration": _session_seconds,
    "policy": _policy,
    "sts_endpoint": parse_host,
    "credentials_uri": _credentials_uri,
}
