"""Alibaba Cloud's credentials library behind our code: what it fetches, and what it must not do."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from exporter.cams.credentials.sdk import connect_with, reason_of
from exporter.config import CredentialsConfig
from exporter.errors import CredentialsError
from exporter.model import Credential
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import RawServer, answering, http

pytestmark = [
    # the library's own, on Python 3.12 and later
    pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning"),
]


def issued(**more: object) -> bytes:
    """The answer of a credentials URI."""
    expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    body = {
        "Code": "Success",
        "AccessKeyId": "STS.id",
        "AccessKeySecret": "sts-secret",
        "SecurityToken": "sts-token",
        "Expiration": expiration,
    }
    return http(json.dumps(body | more).encode())


def config(uri: str) -> CredentialsConfig:
    return CredentialsConfig("credentials_uri", {}, {"credentials_uri": uri})


def test_a_credential_is_fetched_from_a_uri_and_kept() -> None:
    with RawServer(answering(issued())) as server:
        fetch = connect_with(config(f"{server.url}/role"))({})
        assert fetch() == Credential("STS.id", "sts-secret", "sts-token")
        assert fetch() == Credential("STS.id", "sts-secret", "sts-token")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "more", [{"AccessKeySecret": ""}, {"AccessKeyId": None}, {"SecurityToken": "a\nb"}, {"AccessKeySecret": 5}]
)
def test_an_invalid_credential_is_refused(more: dict[str, object]) -> None:
    """A line break in a token would forge a header."""
    with RawServer(answering(issued(**more))) as server:
        fetch = connect_with(config(f"{server.url}/role"))({})
        with pytest.raises(CredentialsError, match="what was fetched is not a credential"):
            fetch()


def test_an_error_shows_nothing_of_what_was_answered() -> None:
    leak = http(b'{"Code":"NoPermission","AccessKeySecret":"leaked-secret"}', "403 Forbidden")
    with RawServer(answering(leak)) as server:
        fetch = connect_with(config(f"{server.url}/role?password=hunter2"))({})
        with pytest.raises(Exception, match="403") as caught:
            fetch()
    assert "leaked-secret" in str(caught.value)  # the library's own text, which must not be shown
    assert reason_of(caught.value) == "HTTP 403 NoPermission"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("error refreshing credentials from ram_role_arn, http_code: 404, result: <html>", "HTTP 404"),
        ("get session token failed, http_code=500, result: x", "HTTP 500"),
        ("Failed to get RAM session credentials from ECS metadata service. HttpCode=404", "HTTP 404"),
        ("Failed to get RAM session credentials from ECS metadata service.", "the ECS metadata service gave none"),
        ("HTTPSConnectionPool(host='sts'): Read timed out. (read timeout=10)", "no answer in time"),
        ("/?SecurityToken=leak Failed to resolve 'sts.aliyuncs.com'", "the host name is not found"),
        ("[Errno 111] Connection refused", "the connection is refused"),
        ("CERTIFICATE_VERIFY_FAILED leak", "the server's certificate is not trusted"),
        ("[Errno 2] No such file or directory: '/run/token'", "a file it needs is missing"),
        ("IMDS credentials is disabled", "ALIBABA_CLOUD_ECS_METADATA_DISABLED forbids it"),
        (
            "unable to load credentials from any of the providers in the chain: ['X: http_code: 403 leak']",
            "nothing in environment, OIDC role, profile files, ECS metadata or URI",
        ),
        ("access_key_secret = leak", "RuntimeError"),
    ],
)
def test_a_reason_is_given_in_our_own_words(text: str, reason: str) -> None:
    """The library's texts contain STS answers and URLs, with tokens and signatures."""
    assert reason_of(RuntimeError(text)) == reason


def test_the_library_logs_nothing() -> None:
    """Its three handlers would write the answer of STS to stderr, three times."""
    with RawServer(answering(http(b"leak", "500 Internal Server Error"))) as server:
        fetch = connect_with(config(server.url))({})
        with pytest.raises(Exception, match="500"):
            fetch()
    for name in ("credentials", "alibabacloud-tea"):
        assert logging.getLogger(name).disabled
        assert logging.getLogger(name).handlers == []


def test_a_hundred_reloads_leave_no_thread_behind() -> None:
    """The library starts a scheduler thread for each ECS role, and cannot stop it."""
    before = threading.active_count()
    for kind in ("ecs_ram_role", "default") * 50:
        connect_with(CredentialsConfig(kind, {}, {}))({})
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("kind", "values", "options"),
    [
        ("ram_role_arn", {"access_key_id": "id", "access_key_secret": "secret"}, {"role_arn": "acs:ram::1:role/r"}),
        (
            "ram_role_arn",
            {"access_key_id": "id", "access_key_secret": "secret", "security_token": "token"},
            {
                "role_arn": "acs:ram::1:role/r",
                "role_session_name": "exporter",
                "role_session_expiration": 1800,
                "policy": "{}",
                "external_id": "external",
                "sts_endpoint": "sts.example",
            },
        ),
        ("ecs_ram_role", {}, {"role_name": "r", "disable_imds_v1": True}),
        (
            "oidc_role_arn",
            {},
            {
                "role_arn": "acs:ram::1:role/r",
                "oidc_provider_arn": "acs:ram::1:oidc-provider/p",
                "oidc_token_file_path": "/run/token",
            },
        ),
        ("credentials_uri", {}, {"credentials_uri": "http://127.0.0.1:1/role"}),
        (
            "rsa_key_pair",
            {},
            {"public_key_id": "id", "private_key_file": __file__, "role_session_expiration": 1800, "sts_endpoint": "s"},
        ),
        ("default", {}, {}),
    ],
)
def test_the_library_takes_every_type(kind: str, values: dict[str, str], options: dict[str, str | int | bool]) -> None:
    assert callable(connect_with(CredentialsConfig(kind, {}, options))(values))


CHAIN = """
import threading
from exporter.cams.credentials.source import credential_source
from exporter.config import CredentialsConfig
from exporter.model import SystemClock

source = credential_source(CredentialsConfig("default", {}, {}), SystemClock(), "main")
while not source.ready():
    threading.Event().wait(0.01)
try:
    print(source.get().access_key_id)
except Exception as error:
    print(error)
print(sorted({thread.name.split("_")[0] for thread in threading.enumerate()}))
"""


def default_chain(home: Path, **environment: str) -> tuple[list[str], str]:
    """The result of the default chain in a separate process, because the library reads the environment at import."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHAIN)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr


def test_the_default_chain_finds_the_environment(tmp_path: Path) -> None:
    lines, stderr = default_chain(
        tmp_path, ALIBABA_CLOUD_ACCESS_KEY_ID="env-id", ALIBABA_CLOUD_ACCESS_KEY_SECRET="env-secret"
    )
    assert lines == ["env-id", "['MainThread', 'credentials-main']"]
    assert stderr == ""


def test_the_default_chain_finds_a_profile(tmp_path: Path) -> None:
    (tmp_path / ".aliyun").mkdir()
    profile = {"name": "p", "mode": "AK", "access_key_id": "profile-id", "access_key_secret": "s"}
    (tmp_path / ".aliyun" / "config.json").write_text(json.dumps({"current": "p", "profiles": [profile]}))
    assert default_chain(tmp_path)[0][0] == "profile-id"


def test_a_default_chain_that_finds_nothing_says_where_it_looked(tmp_path: Path) -> None:
    lines, stderr = default_chain(tmp_path)
    assert lines[0] == (
        "credentials of type default: nothing in environment, OIDC role, profile files, ECS metadata or URI; "
        "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or configure credentials"
    )
    assert stderr.count("\n") == 1  # Python's own last resort for a warning of ours
    assert "cannot fetch credentials" in stderr


def test_the_library_is_not_imported_for_plain_keys() -> None:
    """It costs 0.3 s and 30 MB."""
    code = (
        "import sys, exporter.cams.client, exporter.cams.credentials.source\n"
        "sys.exit(any(name.startswith(('alibabacloud', 'Tea', 'aiohttp')) for name in sys.modules))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=PATIENCE_SECONDS, check=False).returncode == 0
