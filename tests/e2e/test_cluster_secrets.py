"""What the docs say of secrets and the replicas' store: its password is changed at run time; what is in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from exporter.simulator import World
from tests.support.exporter import until, value
from tests.support.fleet import exported, fleet, phones
from tests.support.redisserver import PASSWORD, PREFIX, RedisServer, redis_server

HASHES = ("epoch", "members", "beats", "lists", "holders", "paces", "entries")


def content(server: RedisServer) -> str:
    """All that is in the store, but for the names in `log`, which those of `entries` are."""
    return "".join(str(server.admin("HGETALL", f"{PREFIX}:{name}")) for name in HASHES)


def test_a_changed_password_file_is_used_without_a_restart(tmp_path: Path) -> None:
    """First it holds a wrong one; then the server gets a new one, and ends the connections with the old one.

    The store then has the full phone number, which the exporter shows masked, and no secret.
    """
    file = tmp_path / "password"
    file.write_text("wrong")
    world = World()
    section = fleet(world, 1)
    with tempfile.TemporaryDirectory(prefix="cams-") as folder, redis_server(Path(folder)) as server:
        cluster = {
            "url": f"unix://{server.socket}",
            "username": "cams",
            "password_file": str(file),
            "replicas": 2,
            "lease": "3s",
        }
        with exported(world, section, cluster=cluster, phone_number_label="masked") as exporter:

            def is_up(wanted: int) -> bool:
                return value(exporter.scrape(), "cams_cluster_store_up") == wanted

            until(lambda: "the cluster's store fails" in exporter.log, "refused")
            assert is_up(0)
            file.write_text(PASSWORD)
            until(lambda: is_up(1), "accepted")
            server.admin("ACL", "SETUSER", "cams", ">another", f"<{PASSWORD}")
            server.admin("CLIENT", "KILL", "USER", "cams")
            until(lambda: is_up(0), "refused again")
            file.write_text("another")
            until(lambda: is_up(1), "accepted again")
            (number,) = phones(1)
            until(lambda: number in content(server), "written")
            shown = exporter.log + exporter.get("/metrics")[1].decode()
            assert number not in shown
            assert PASSWORD not in shown
            credentials = section["credentials"]
            for secret in (credentials["access_key_secret"], credentials["access_key_id"], PASSWORD):
                assert secret not in content(server)
