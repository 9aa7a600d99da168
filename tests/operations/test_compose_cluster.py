"""compose.cluster.yml: two replicas and a Valkey, with the configuration of deploy/compose/cluster.

As for compose.yml, a parser of the Compose specification checks it; the store's command runs on a real server.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from compose_spec import PyCompose

import exporter
from exporter.cluster.leases.table import Member
from exporter.cluster.store.replies import StoreError
from exporter.config import load
from tests.operations.tools import ROOT
from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.redisserver import PASSWORD, RedisServer, documented_rights
from tests.support.servers import require_binary

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.cluster.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REPLICAS = ("exporter-1", "exporter-2")
CONFIG = ROOT / "deploy" / "compose" / "cluster"


def test_it_follows_the_compose_specification() -> None:
    assert sorted(PyCompose.from_json(json.dumps(COMPOSE)).service_names()) == sorted([*REPLICAS, "valkey"])


def test_the_replicas_are_on_loopback_and_the_store_is_on_no_network_but_theirs() -> None:
    assert [SERVICES[name]["ports"] for name in REPLICAS] == [["127.0.0.1:10106:10106"], ["127.0.0.1:10107:10106"]]
    assert not SERVICES["valkey"].keys() & {"ports", "expose"}
    assert SERVICES["valkey"]["networks"] == ["store"]
    assert COMPOSE["networks"]["store"] == {"internal": True}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_may_more_than_it_needs(service: str) -> None:
    described = SERVICES[service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert described.get("user", "65532:65532") in {"65532:65532", "999:999"}
    assert not described.keys() & {"privileged", "cap_add", "network_mode", "pid"}
    assert re.search(r":\d+\.\d+\.\d+$", described["image"])


def test_the_replicas_are_equal_and_of_this_checkout() -> None:
    first, second = ({**SERVICES[name], "ports": ()} for name in REPLICAS)
    assert first == second
    assert first["image"] == f"cams-exporter:{exporter.__version__}"
    assert (ROOT / first["build"]["context"] / "Dockerfile").is_file()
    assert first["volumes"] == [f"./{CONFIG.relative_to(ROOT)}:/etc/cams-exporter:ro"]


def test_the_configuration_is_accepted_with_the_files_that_the_header_asks_for(tmp_path: Path) -> None:
    for name in ("store-password", "access-key-id", "access-key-secret"):
        (tmp_path / name).write_text("simulated\n")
    (tmp_path / "config.yml").write_text((CONFIG / "config.yml").read_text())
    config = load(tmp_path / "config.yml")
    assert (config.warnings, config.key_faults) == ((), ())
    assert config.cluster is not None
    assert config.cluster.replicas == len(REPLICAS)
    assert config.cluster.url.startswith("redis://valkey:6379/")
    assert COMPOSE["secrets"]["store-password"]["file"] == f"./{CONFIG.relative_to(ROOT)}/store-password"


def test_the_store_takes_the_password_and_has_the_user_of_the_docs_only(tmp_path: Path) -> None:
    """The command of the container, on this machine's server and on a unix socket."""
    server = RedisServer(tmp_path)
    (tmp_path / "valkey-server").symlink_to(require_binary("redis-server"))
    (tmp_path / "store-password").write_text(f"{PASSWORD}\n")
    shell, flag, script = SERVICES["valkey"]["command"]
    script = script.replace("$$", "$").replace("/run/secrets/", f"{tmp_path}/")
    assert f"user cams {' '.join(documented_rights())}\n" in script.replace(
        f"$(cat {tmp_path}/store-password)", PASSWORD
    )
    script = script.replace("\nsave", f"\nport 0\nunixsocket {server.socket}\nsave")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen([shell, flag, script], env=environment, stdout=subprocess.DEVNULL)
    try:
        store = server.store()

        def makes_contact() -> bool:
            assert process.poll() is None, "the store ended"
            with contextlib.suppress(StoreError):
                store.contact(Member("me", "host", 0, 15.0, 12.5, claims=True, accounts=""), 1, ("", -1), 1.0, {})
                return True
            return False

        until(makes_contact, "the store listens")
        store.publish_accounts("me", ["main"])
        assert store.accounts_of("me") == ("main",)
        store.close()
        with pytest.raises(redis.AuthenticationError):
            server.admin("PING")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
