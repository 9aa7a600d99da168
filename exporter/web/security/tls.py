"""The `tls_server_config` of the web configuration: read, checked, and made into an SSLContext.

What Python's `ssl` cannot do is refused, with the reason.  Where it can only do something safer than what was asked
for, there is a warning.

Source: exporter-toolkit, docs/web-configuration.md.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from exporter.config.strict_yaml import Section, one_of
from exporter.web.security.pem import as_file, material
from exporter.web.security.tls_names import CURVES, OLD_VERSIONS, TLS12_SUITES, TLS13_SUITES, VERSIONS

KEYS = (
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_ca",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "curve_preferences",
    "prefer_server_cipher_suites",
)

_NONE, _IF_GIVEN, _REQUIRED = "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
_ADD_POLICY = f"client_auth_type: {_REQUIRED}"
_VERIFY = {_NONE: ssl.CERT_NONE, _IF_GIVEN: ssl.CERT_OPTIONAL, _REQUIRED: ssl.CERT_REQUIRED}
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL says of a key that belongs to another certificate.  The last one: an RSA key with an EC certificate."""

_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")


@dataclass(frozen=True, slots=True)
class TlsServer:
    """How connections are encrypted, and which clients may connect.

    A client's certificate must have one of the subject alternative names `allowed_sans` (empty: any).  With
    `requires_client` a client without a certificate is refused.  With `trusts_system` the certificates of the system's
    authorities are accepted.
    """

    context: ssl.SSLContext = field(repr=False)
    allowed_sans: frozenset[str]
    requires_client: bool
    trusts_system: bool

    def admits(self, certificate: Mapping[str, object] | None) -> bool:
        """Whether a client that has shown this verified certificate (as `SSLSocket.getpeercert` gives it) may stay."""
        return not self.allowed_sans or not self.allowed_sans.isdisjoint(_sans(certificate or {}))


def read_tls(section: Section) -> TlsServer | None:
    """What the section says, None where it has a fault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_versions(section, context)
    _set_ciphers(section, context)
    _set_curve(section, context)
    _set_certificate(section, context)
    policy = _set_client_authorities(section, context)
    allowed = _read_sans(section, policy)
    if section.boolean("prefer_server_cipher_suites", default=True) is False:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    asks_client = context.verify_mode is not ssl.CERT_NONE
    return TlsServer(context, allowed, policy == _REQUIRED, asks_client and not _authorities_given(section))


def _set_versions(section: Section, context: ssl.SSLContext) -> None:
    def read(text: str) -> ssl.TLSVersion:
        if text in OLD_VERSIONS:
            raise ValueError(f"{text} is broken and OpenSSL no longer speaks it; write TLS12 or TLS13")
        return VERSIONS[one_of(VERSIONS, "unknown TLS version")(text)]

    def read_low(text: str) -> ssl.TLSVersion:
        if text in OLD_VERSIONS:
            section.warn("min_version", f"{text} is broken and OpenSSL no longer speaks it: read as TLS12; write TLS12")
            return ssl.TLSVersion.TLSv1_2
        return read(text)

    low = section.text("min_version", read_low, ssl.TLSVersion.TLSv1_2)
    high = section.text("max_version", read, ssl.TLSVersion.TLSv1_3)
    if low and high:
        context.minimum_version, context.maximum_version = low, high
        if low > high:
            section.fault("min_version", "is above max_version; raise that, or lower this")


def _set_ciphers(section: Section, context: ssl.SSLContext) -> None:
    names = section.texts("cipher_suites", one_of((*TLS12_SUITES, *TLS13_SUITES), "unknown cipher"))
    if not names:
        return  # an empty list means the default, as in Go
    tls13, tls12 = set(TLS13_SUITES) & set(names), [TLS12_SUITES[name] for name in names if name in TLS12_SUITES]
    if 0 < len(tls13) < len(TLS13_SUITES) and context.maximum_version is ssl.TLSVersion.TLSv1_3:
        what = "names some of TLS 1.3's suites, but all three are offered, as Go does; write none of them, or all"
        section.warn("cipher_suites", what)
    if not tls12:  # as in Go, a client that speaks no TLS 1.3 finds no suite
        if context.maximum_version is ssl.TLSVersion.TLSv1_2:
            section.fault("cipher_suites", "names no suite of TLS 1.2; write one, or raise max_version")
        elif context.minimum_version is ssl.TLSVersion.TLSv1_2:
            what = "names no suite of TLS 1.2: only TLS 1.3 is spoken; write one, or min_version: TLS13"
            section.warn("cipher_suites", what)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return
    with suppress(ssl.SSLError):  # if it has none of them, a fault below says so
        context.set_ciphers(":".join(tls12))
    missing = set(tls12) - {str(suite["name"]) for suite in context.get_ciphers()}
    if missing:
        section.fault("cipher_suites", f"this machine's OpenSSL lacks {', '.join(sorted(missing))}; remove it")


def _set_curve(section: Section, context: ssl.SSLContext) -> None:
    names = section.texts("curve_preferences", one_of(CURVES, "unknown curve"))
    if not names:
        return
    if len(names) > 1:
        section.fault(
            "curve_preferences",
            "lists several curves, but Python's ssl can be told only one; write that one, or remove the key",
        )
        return
    try:
        context.set_ecdh_curve(CURVES[names[0]])
    except (ValueError, ssl.SSLError):  # Debian 12's Python cannot name X25519
        section.fault("curve_preferences", f"this machine's OpenSSL cannot use {names[0]} here; write CurveP256")


def _set_certificate(section: Section, context: ssl.SSLContext) -> None:
    given_cert = material(section, "cert", required=True)
    given_key = material(section, "key", required=True)
    if given_cert is None or given_key is None:
        return
    (cert_name, cert), (key_name, key) = given_cert, given_key
    asked: list[bool] = []

    def password() -> str:  # without it OpenSSL would ask at the terminal
        asked.append(True)
        return ""

    try:
        with as_file(cert) as cert_file, as_file(key) as key_file:
            context.load_cert_chain(cert_file, key_file, password=password)
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None) or ""
        if asked:
            section.fault(key_name, "holds an encrypted private key; decrypt it, and protect the file")
        elif reason in _MISMATCHES:
            section.fault(key_name, "the private key does not match the certificate; write the one that belongs to it")
        elif b"-----BEGIN CERTIFICATE-----" not in cert:
            section.fault(cert_name, "holds no certificate in PEM form; write one")
        elif b"PRIVATE KEY-----" not in key:
            section.fault(key_name, "holds no private key in PEM form; write one")
        else:
            why = reason.lower().replace("_", " ") or "unreadable"
            section.fault(cert_name, f"certificate and key are refused by OpenSSL: {why}; make them anew")


def _set_client_authorities(section: Section, context: ssl.SSLContext) -> str | None:
    """Set whose certificates are asked for and trusted; returns the policy, None where it is refused."""

    def read(text: str) -> str:
        if text in _UNVERIFIED:
            raise ValueError(
                f"{text} accepts certificates that nobody has verified, which Python's ssl cannot do; "
                f"write {_REQUIRED} or {_IF_GIVEN}"
            )
        return one_of(_VERIFY, "invalid ClientAuth")(text) if text else _NONE

    policy = _NONE if section.value("client_auth_type") is None else section.text("client_auth_type", read)
    authorities = material(section, "client_ca")
    names = _authorities_given(section)
    if policy == _NONE and names:
        section.fault(names[0], f"client CA's have been configured without a Client Auth Policy; add {_ADD_POLICY}")
    if policy in {_IF_GIVEN, _REQUIRED} and not names:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)  # as in Go
        if policy == _REQUIRED:
            what = f"{policy} without client_ca_file trusts all of this system's authorities; write client_ca_file"
            section.warn("client_auth_type", what)
    if authorities is not None:
        name, pem = authorities
        try:
            with as_file(pem) as file:
                context.load_verify_locations(file)
            is_good = context.cert_store_stats()["x509"] > 0  # a file of revocation lists is loaded without complaint
        except ssl.SSLError:
            is_good = False
        if not is_good:
            section.fault(name, "holds no certificate in PEM form, or a damaged one; write a good one")
    context.verify_mode = _VERIFY[policy or _NONE]
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go, an intermediate authority may be the anchor
    return policy


def _read_sans(section: Section, policy: str | None) -> frozenset[str]:
    if "client_allowed_sans" not in section:
        return frozenset()
    names = section.texts("client_allowed_sans", _normal)
    if policy not in {_REQUIRED, None}:
        what = f"client_allowed_sans requires client_auth_type to be {_REQUIRED}; add {_ADD_POLICY}"
        section.fault("client_allowed_sans", what)
    elif names == ():
        section.fault("client_allowed_sans", "is empty, so no client would be accepted; write a name, or remove it")
    return frozenset(names or ())


def _authorities_given(section: Section) -> list[str]:
    return [key for key in ("client_ca", "client_ca_file") if key in section]


def _sans(certificate: Mapping[str, object]) -> Iterator[str]:
    """The names of a certificate: DNS, e-mail, URI as they stand, addresses in their usual form."""
    names = certificate.get("subjectAltName", ())
    if isinstance(names, tuple):
        for kind, value in names:
            if kind in {"DNS", "email", "URI", "IP Address"}:
                yield _normal(value) if kind == "IP Address" else value


def _normal(name: str) -> str:
    """An address in its shortest form, as Go writes it; any other name as it is."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
