"""Temporary certificates: an authority, its certificates, and a folder with the files that a web configuration
names."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "localhost"

TLS_FILES = "cert_file: server.crt, key_file: server.key"
"""The keys of a `tls_server_config`, in a flow mapping, for the files of `server_files`."""


def server_files(
    folder: Path, authority: trustme.CA, *, key_type: trustme.KeyType = trustme.KeyType.ECDSA
) -> trustme.LeafCert:
    """Issue a certificate for this machine: `server.crt`, `server.key` and the authority's `ca.crt` in `folder`."""
    cert = authority.issue_cert(HOST, "127.0.0.1", key_type=key_type)
    (folder / "server.crt").write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    (folder / "server.key").write_bytes(cert.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    return cert


def client_file(folder: Path, authority: trustme.CA, name: str = "client", *identities: str) -> Path:
    """Key and certificate of a client in one file."""
    path = folder / f"{name}.pem"
    authority.issue_cert(*(identities or (f"{name}.example",))).private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def revocations() -> bytes:
    """A list of revoked certificates.  OpenSSL loads it as a file of authorities, but it contains none."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    made = x509.CertificateRevocationListBuilder(name, now, now + timedelta(days=1)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def issue(
    authority: trustme.CA,
    *names: x509.GeneralName,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    expired: bool = False,
) -> bytes:
    """Key and certificate as PEM with exactly these alternative names and this usage, which trustme does not
    support."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    issuer_key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=-1 if expired else 1))
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    cert = builder.sign(issuer_key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return private + cert.public_bytes(serialization.Encoding.PEM)


def encrypted(key_pem: bytes, password: bytes) -> bytes:
    """The same private key, encrypted."""
    key = serialization.load_pem_private_key(key_pem, None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


def client_context(authority: trustme.CA, client: Path | None = None) -> ssl.SSLContext:
    """A client's context that trusts `authority`, with the client's certificate and key."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        context.load_cert_chain(client)
    return context
