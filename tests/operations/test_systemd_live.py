"""The systemd unit under a real systemd, the first process of a container; `make test-image` builds and runs it.

The exporter polls a simulator on the container's loopback, with a key from the credential store only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml

from tests.operations.tools import ROOT, environment_tool
from tests.support.exporter import series, statuses, until
from tests.support.podman import Container, Podman

pytestmark = pytest.mark.xdist_group("one systemd")

UNIT = "cams-exporter"
CREDENTIALS = f"/run/credentials/{UNIT}.service/{UNIT}"
MACHINE = (
    "--systemd=always",
    "--cap-add=all",  # systemd needs the rights that it removes from a service
    "--security-opt=seccomp=unconfined",
    "--env=container=docker",
    "--env=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",  # some machines still have cgroup v1
)
START = "mount --make-rshared / && exec /lib/systemd/systemd"
"""Mounts propagate as on a machine: credentials are mounted."""

SIMULATOR = (
    *("systemd-run", "--quiet", "--unit=simulator", "/opt/cams-exporter/bin/python3", "-m", "exporter.simulator"),
    *("--scenario=steady", "--listen=127.0.0.1:8080", "--write-config=/root/simulated.yml"),
)


class Machine:
    """A container whose first process is systemd, with the exporter's unit in it."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl, which must succeed."""
        return self.container.ok("systemctl", *arguments)

    def shown(self, name: str) -> str:
        """A property of the service."""
        return self.systemctl("show", "--value", f"--property={name}", UNIT)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1" && chmod "$3" "$1"'
        self.container.ok("sh", "-c", script, "sh", path, text, mode)

    def metrics(self, port: int = 10106) -> str:
        """The metrics, or an empty text if it does not answer."""
        fetch = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
        return self.container.call("/opt/cams-exporter/bin/python3", "-c", fetch).stdout

    def journal(self) -> str:
        return self.container.ok("journalctl", "--no-pager", "--boot", f"--unit={UNIT}", "--output=cat")

    def wait_until_verified(self) -> None:
        """Wait until every number is VERIFIED, which needs an accepted signature."""
        until(lambda: set(statuses(series(self.metrics())).values()) == {"VERIFIED"}, "all numbers are VERIFIED")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    podman = Podman.of(environment_tool("CAMS_EXPORTER_TEST_SYSTEMD", "make test-image builds the image and runs this"))
    with podman.running("sh", "-c", START, options=MACHINE) as container:
        made = Machine(container)
        until(lambda: container.call("systemctl", "is-active", "multi-user.target").returncode == 0, "systemd is up")
        container.ok(*SIMULATOR)
        until(lambda: container.call("test", "-s", "/root/simulated.yml").returncode == 0, "the simulator serves")
        made.write(f"/etc/systemd/system/{UNIT}.service", (ROOT / "deploy/systemd/cams-exporter.service").read_text())
        made.systemctl("daemon-reload")
        yield made


@pytest.fixture
def config(machine: Machine) -> str:
    """A configuration with its key in the credential store; the service is not started."""
    simulated = yaml.safe_load(machine.container.ok("cat", "/root/simulated.yml"))
    (account,) = simulated["accounts"]
    del account["numbers"][3:]  # all are polled within a second
    key = account["credentials"]
    machine.write(f"/etc/credstore/{UNIT}.access-key-id", key["access_key_id"], "600")
    machine.write(f"/etc/credstore/{UNIT}.access-key-secret", key["access_key_secret"], "600")
    account["credentials"] = {
        "type": "access_key",
        "access_key_id_file": f"{CREDENTIALS}.access-key-id",
        "access_key_secret_file": f"{CREDENTIALS}.access-key-secret",
    }
    text: str = yaml.safe_dump(simulated)
    machine.write("/etc/cams-exporter/config.yml", text)
    return text


@pytest.fixture
def service(machine: Machine, config: str) -> Iterator[Machine]:
    """The service, restarted and serving."""
    machine.systemctl("start", UNIT)
    until(machine.metrics, "the service serves")
    yield machine
    machine.systemctl("stop", UNIT)
    machine.systemctl("reset-failed")  # otherwise systemd refuses many starts in a short time
    machine.container.ok("rm", "--force", "/etc/default/cams-exporter")


def test_it_polls_with_secrets_from_the_credential_store(service: Machine) -> None:
    service.wait_until_verified()
    assert "simulated-secret" not in service.journal()


def test_it_runs_as_a_user_of_its_own_without_any_privilege(service: Machine) -> None:
    status = service.container.ok("cat", f"/proc/{service.shown('MainPID')}/status")
    facts = {name: values.split() for name, values in re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE)}
    assert "0" not in facts["Uid"] + facts["Gid"]
    assert int(facts["CapEff"][0], 16) == int(facts["CapBnd"][0], 16) == 0
    assert facts["NoNewPrivs"] == ["1"]
    assert facts["Seccomp"] == ["2"]


def test_its_process_metrics_are_there(service: Machine) -> None:
    """/proc is restricted, but has the files that they need."""
    names = {name for name, _ in series(service.metrics())}
    assert {"process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds"} <= names


def test_reload_applies_a_changed_configuration(service: Machine, config: str) -> None:
    service.write("/etc/cams-exporter/config.yml", config.replace("scrape_interval: 60s", "scrape_interval: 90s"))
    service.systemctl("reload", UNIT)
    until(lambda: 'interval_seconds{account="steady"} 90.0' in service.metrics(), "the new interval is in force")


def test_a_rotated_key_is_used_after_a_restart(service: Machine) -> None:
    """A reload does not bring the new one: systemd copied the old one when the service started."""
    file = f"/etc/credstore/{UNIT}.access-key-secret"
    right = service.container.ok("cat", file).strip()
    service.write(file, "not-the-secret-any-more", "600")
    service.systemctl("restart", UNIT)
    until(lambda: 'cams_account_up{account="steady"} 0.0' in service.metrics(), "the old key is refused")
    service.write(file, right, "600")
    service.systemctl("reload", UNIT)
    service.container.ok("grep", "--quiet", "not-the-secret-any-more", f"{CREDENTIALS}.access-key-secret")
    service.systemctl("restart", UNIT)
    service.wait_until_verified()


def test_answers_are_kept_over_a_restart(service: Machine) -> None:
    """In the state directory, which belongs to a user that exists only while the service runs."""
    service.wait_until_verified()
    service.systemctl("restart", UNIT)
    until(service.metrics, "the service serves")
    restored = re.findall(r'msg="answers restored".* numbers=(\d+)', service.journal())
    assert int(restored[-1]) > 0


def test_flags_come_from_etc_default(service: Machine) -> None:
    service.write("/etc/default/cams-exporter", "ARGS=--web.listen-address=127.0.0.1:10107 --log.format=json\n")
    service.systemctl("restart", UNIT)
    until(lambda: service.metrics(10107), "it serves where the flag says")
    assert service.metrics() == ""


def test_it_starts_without_a_credential_store(service: Machine) -> None:
    """With another type of credentials there are no such files."""
    service.container.ok("sh", "-c", "rm -r /etc/credstore && cp /root/simulated.yml /etc/cams-exporter/config.yml")
    service.systemctl("restart", UNIT)
    until(service.metrics, "it serves")


def test_it_stops_and_is_not_killed(service: Machine) -> None:
    service.systemctl("stop", UNIT)
    assert service.shown("Result") == "success"


def test_a_killed_service_is_started_again(service: Machine) -> None:
    before = service.shown("MainPID")
    service.systemctl("kill", "--signal=KILL", UNIT)
    until(lambda: service.shown("MainPID") not in {before, "0"}, "it is started again")
    until(service.metrics, "it serves again")


def test_a_refused_configuration_is_said_once_and_not_tried_again(service: Machine) -> None:
    service.write("/etc/cams-exporter/config.yml", "accounts: []\n")
    service.systemctl("restart", UNIT)
    until(lambda: service.shown("ActiveState") == "failed", "the service fails")
    assert service.shown("ExecMainStatus") == "2"
    assert service.shown("NRestarts") == "0"
    assert "config.yml:1: accounts" in service.journal()
