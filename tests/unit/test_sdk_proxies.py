"""The credentials library's requests never go through a proxy that could read the answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cams.credentials.sdk import connect_with
from exporter.config import CredentialsConfig
from exporter.errors import CredentialsError
from exporter.model import Credential
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import Peer, RawServer, answering, authority, http, tls_context

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")  # the library's own

TRUE = Credential("STS.true", "s", "t")
ISSUED = {"AccessKeyId": "STS.true", "AccessKeySecret": "s", "SecurityToken": "t", "Expiration": "2100-01-01T00:00:00Z"}


def keys(key_id: str) -> bytes:
    return http(json.dumps({"Code": "Success", **ISSUED, "AccessKeyId": key_id}).encode())


def uri(address: str) -> CredentialsConfig:
    return CredentialsConfig("credentials_uri", {}, {"credentials_uri": address})


def role(sts_endpoint: str) -> CredentialsConfig:
    return CredentialsConfig("ram_role_arn", {}, {"role_arn": "acs:ram::1:role/r", "sts_endpoint": sts_endpoint})


KEY = {"access_key_id": "id", "access_key_secret": "secret"}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("no_proxy", ["", "other.example"])
def test_keys_of_a_uri_on_loopback_never_pass_a_proxy(
    variable: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy could read the keys, or answer with its own."""
    with RawServer(answering(keys("STS.true"))) as server, RawServer(answering(keys("STS.forged"))) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert connect_with(uri(f"{server.url}/role"))({})() == TRUE
        assert proxy.requests == []


def test_sts_is_asked_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a tunnel; the proxy gets its password."""
    with RawServer(answering(http(b"", "502 Bad Gateway"))) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"user:pass@127.0.0.1:{proxy.port}")
        with pytest.raises(Exception, match="502"):
            connect_with(role("sts.example"))(KEY)()
        (connect,) = proxy.requests
    assert connect.startswith(b"CONNECT sts.example:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in connect


def test_sts_is_asked_through_the_proxy_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says; each account through its own."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    with RawServer(answering(http(b"", "502 Bad Gateway"))) as one, RawServer(answering(http(b"", "502 No"))) as two:
        for proxy in (one, two):
            with pytest.raises(Exception, match="502"):
                connect_with(role("sts.example"), proxy.url)(KEY)()
            (connect,) = proxy.requests
            assert connect.startswith(b"CONNECT sts.example:443 HTTP/1.")


def test_keys_on_loopback_never_pass_the_proxy_of_the_configuration() -> None:
    with RawServer(answering(keys("STS.true"))) as server, RawServer(answering(keys("STS.forged"))) as proxy:
        assert connect_with(uri(f"{server.url}/role"), proxy.url)({})() == TRUE
        assert proxy.requests == []


def test_sts_is_trusted_by_the_authorities_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like the API: a proxy that intercepts TLS has its own authority."""
    ca_file = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(ca_file)
    answer = http(json.dumps({"Credentials": ISSUED}).encode())
    with RawServer(answering(answer), tls_context("localhost")) as sts:
        fetch = connect_with(role(f"localhost:{sts.port}"))(KEY)
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            fetch()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
        assert fetch() == TRUE


def test_a_key_pair_is_exchanged_for_a_temporary_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session key has no token."""
    ca_file, private_key = tmp_path / "ca.pem", tmp_path / "private.pem"
    authority().cert_pem.write_to_path(ca_file)
    private_key.write_text("PRIVATE KEY")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    session = {"SessionAccessKeyId": "TMPSK.x", "SessionAccessKeySecret": "s", "Expiration": "2100-01-01T00:00:00Z"}
    answer = http(json.dumps({"SessionAccessKey": session}).encode())
    with RawServer(answering(answer), tls_context("localhost")) as sts:
        options = {
            "public_key_id": "TMPK.id",
            "private_key_file": str(private_key),
            "sts_endpoint": f"localhost:{sts.port}",
        }
        assert connect_with(CredentialsConfig("rsa_key_pair", {}, options))({})() == Credential("TMPSK.x", "s", "")
        (asked,) = sts.requests
    assert b"Action=GenerateSessionAccessKey" in asked
    assert b"AccessKeyId=TMPK.id" in asked


def test_a_proxy_of_no_use_is_said_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hunter2@proxy")
    with pytest.raises(CredentialsError) as caught:
        connect_with(role("sts.example"))(KEY)()
    assert str(caught.value).startswith("ALL_PROXY: a SOCKS proxy")
    assert "hunter2" not in str(caught.value)


def test_a_redirect_of_a_credentials_source_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect could lead from TLS to plain text, and through a proxy."""
    with RawServer(answering(keys("STS.forged"))) as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        redirect = http(b"", "302 Found", Location=f"{other.url}/role")
        with RawServer(answering(redirect)) as server, pytest.raises(Exception, match="302"):
            connect_with(uri(f"{server.url}/role"))({})()
        assert other.requests == []


# in its own network, where other hosts' addresses belong to this machine


ELSEWHERE = "203.0.113.7"  # TEST-NET-3: no real host
METADATA = "100.100.100.200"

NETWORK = f"""
import json, os, sys
from exporter.cams.credentials.sdk import connect_with
from exporter.config import CredentialsConfig
from tests.support.rawserver import Peer, RawServer
from tests.unit.test_sdk_proxies import KEY, instance, role, uri

os.environ.update(json.loads(sys.argv[1]))

def fetched(config, keys={{}}):
    try:
        return connect_with(config)(keys)().access_key_id
    except Exception as error:
        return str(error)

with (
    RawServer(instance("STS.forged")) as proxy,
    RawServer(instance("STS.true"), address=("{METADATA}", 80)),
    RawServer(instance("STS.true"), address=("{ELSEWHERE}", 80)),
    RawServer(lambda peer: None, address=("{ELSEWHERE}", 443)) as sts,
):
    os.environ["HTTP_PROXY"] = os.environ["HTTPS_PROXY"] = proxy.url
    fetched_keys = [
        fetched(CredentialsConfig("ecs_ram_role", {{}}, {{}})),
        fetched(CredentialsConfig("default", {{}}, {{}})),
        fetched(uri("http://{ELSEWHERE}/role")),
    ]
    seen = len(proxy.requests)
    fetched(role("{ELSEWHERE}"), KEY)
    print(json.dumps([fetched_keys, seen, len(proxy.requests), sts.connections]))
"""


def instance(key_id: str) -> object:
    """The answer of an ECS instance's metadata service, or of a proxy in its place."""

    def script(peer: Peer) -> None:
        while head := peer.read_request():
            path = head.split()[1]
            if path.endswith(b"/security-credentials/"):
                peer.send(http(b"the-role"))
            else:
                peer.send(http(b"a-token") if path.endswith(b"/api/token") else keys(key_id))

    return script


def in_a_network_of_its_own(home: Path, **environment: str) -> list[object]:
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    unshare, ip = shutil.which("unshare"), shutil.which("ip", path=search)
    if not unshare or not ip:
        pytest.skip("unshare or ip is not installed")
    addresses = " && ".join(f"{ip} address add {address}/32 dev lo" for address in (ELSEWHERE, METADATA))
    enter = [unshare, "--map-root-user", "--net", "sh", "-c", f'{ip} link set lo up && {addresses} && exec "$@"', "sh"]
    if subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    done = subprocess.run(
        [*enter, sys.executable, "-c", NETWORK, json.dumps(environment)],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    found: list[object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("no_proxy", ["", "other.example"])
def test_keys_in_clear_text_never_pass_a_proxy(no_proxy: str, tmp_path: Path) -> None:
    """Requests to the metadata service, by name or by the default chain, and to any plain-http URI."""
    fetched, plain, with_sts, sts = in_a_network_of_its_own(tmp_path, NO_PROXY=no_proxy)
    assert fetched == ["STS.true"] * 3
    assert (plain, with_sts, sts) == (0, 1, 0)


def test_sts_heeds_no_proxy(tmp_path: Path) -> None:
    _, plain, with_sts, sts = in_a_network_of_its_own(tmp_path, NO_PROXY="203.0.113.0/24")
    assert (plain, with_sts, sts) == (0, 0, 1)
