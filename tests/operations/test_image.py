"""The image that scripts/test-image builds from the Dockerfile, run by podman as Kubernetes would run it.

Needs CAMS_EXPORTER_TEST_IMAGE, which `make test-image` sets.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme

import exporter
from tests.operations.tools import ROOT, environment_tool, python_tool
from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.podman import HARDENED, Podman

NOTES = ROOT / "deploy" / "helm" / "cams-exporter" / "templates" / "NOTES.txt"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
KILLED = 128 + 9

FETCH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:10106/metrics').read().decode())"
"""Python that prints the metrics, for inside the container."""

MAX_ADDED_BYTES = 64 * 1024 * 1024
"""Maximum size of the exporter and its dependencies, in addition to the base image."""

SECRET_HASH = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
"""bcrypt of `secret`."""


@pytest.fixture(scope="module")
def podman() -> Podman:
    return Podman.of(environment_tool("CAMS_EXPORTER_TEST_IMAGE", "make test-image builds the image and runs this"))


@pytest.fixture(scope="module")
def config(podman: Podman) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(podman.ok("image", "inspect", podman.image))[0]["Config"]
    return described


def test_the_image_says_what_it_is(config: dict[str, Any]) -> None:
    """Registries and scanners read these labels; the revision names the source of a running container."""
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "cams-exporter"
    assert labels["org.opencontainers.image.version"] == exporter.__version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.revision"] == os.environ["CAMS_EXPORTER_TEST_REVISION"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["org.opencontainers.image.created"])


def test_the_image_runs_as_a_numbered_user_that_is_not_root(config: dict[str, Any]) -> None:
    """Kubernetes refuses `runAsNonRoot` with a user name: it cannot know the number behind it."""
    assert config["User"] == "65532:65532"


def test_the_image_holds_no_secret_and_no_build_setting_in_its_environment(config: dict[str, Any]) -> None:
    names = {entry.partition("=")[0] for entry in config["Env"]}
    # The official Python image sets more variables.
    ours = {"PATH", "HOME", "CAMS_EXPORTER_REVISION", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"}
    assert ours <= names
    assert not [name for name in names if not (name in ours or name.startswith(("PYTHON", "LANG", "GPG_KEY")))]


def test_the_version_is_printed(podman: Podman) -> None:
    done = podman.run("--version")
    assert done.returncode == 0
    assert f"version {exporter.__version__} (revision: {os.environ['CAMS_EXPORTER_TEST_REVISION']}," in done.stdout


def test_without_a_configuration_it_ends_with_status_2_and_says_so(podman: Podman) -> None:
    done = podman.run()
    assert done.returncode == 2
    assert "config.yml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A folder with a configuration of one number, readable by any user."""
    folder = tmp_path / "configuration"
    folder.mkdir()
    (folder / "config.yml").write_text(
        "accounts:\n- name: a\n  credentials: {type: access_key, access_key_id: id, access_key_secret: secret}\n"
        '  numbers:\n  - {phone_number: "8613800001234", cust_space_id: cams-1}\n'
    )
    (folder / "config.yml").chmod(0o644)
    folder.chmod(0o755)
    return folder


def mounted(folder: Path, where: str = "/etc/cams-exporter", mode: str = "ro") -> tuple[str, ...]:
    return (*HARDENED, f"--volume={folder}:{where}:{mode}")


def test_a_configuration_is_found_where_the_manifests_mount_it(podman: Podman, configuration: Path) -> None:
    done = podman.run("--config.check", options=mounted(configuration))
    assert done.returncode == 0, done.stderr
    assert "1 number" in done.stdout


def test_it_can_be_one_of_several_replicas(podman: Podman, configuration: Path) -> None:
    """The image has the library of the extra `cluster`; without it the check refuses the section."""
    file = configuration / "config.yml"
    file.write_text("cluster: {url: 'unix:///run/store.sock', replicas: 3}\n" + file.read_text())
    done = podman.run("--config.check", options=mounted(configuration))
    assert done.returncode == 0, done.stderr
    done = podman.run("-c", "import exporter.sharing", options=(*HARDENED, "--entrypoint=python3"))
    assert done.returncode == 0, done.stderr


def test_a_changed_configuration_is_applied_as_the_charts_notes_say(podman: Podman, configuration: Path) -> None:
    reload = shlex.split(re.findall(r"exec .* -- (python3 .+)$", NOTES.read_text(), re.MULTILINE)[0])
    with podman.running(options=mounted(configuration)) as container:
        container.wait_until_healthy()
        file = configuration / "config.yml"
        file.write_text(file.read_text() + '  - {phone_number: "8613800005678", cust_space_id: cams-1}\n')
        container.ok(*reload)
        until(lambda: "configuration reloaded" in container.log(), "the configuration is reloaded")
        assert 'cams_account_phone_numbers{account="a"} 2.0' in container.ok("python3", "-c", FETCH)


@pytest.mark.parametrize("user", ["65532:65532", "1000650000:0"], ids=["its own user", "any user"])
def test_it_serves_under_the_restricted_profile(podman: Podman, user: str) -> None:
    """Read-only root, no capability, no new privilege; OpenShift gives each namespace a user of its own."""
    with podman.running("--demo", options=(*HARDENED, f"--user={user}")) as container:
        container.wait_until_healthy()
        metrics = container.ok("python3", "-c", FETCH)
        assert "\ncams_exporter_build_info{" in metrics
        assert f'version="{exporter.__version__}"' in metrics
        assert metrics.count("\ncams_phone_number_info{") >= 10
        written = [line for line in podman.ok("diff", container.name).splitlines() if line != "C /etc"]
        assert not written, "it wrote to its root"


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_a_signal_ends_it(podman: Podman, signal: str) -> None:
    """As the first process of its container, which gets only signals that it handles."""
    with podman.running("--demo") as container:
        container.wait_until_healthy()
        container.signal(signal)
        assert container.ended() == 0, container.log()


def test_it_stops_while_it_starts_and_is_not_killed(podman: Podman) -> None:
    """A pod may be deleted as soon as it is made."""
    with podman.running("--demo") as container:
        podman.ok("stop", "--time=100", container.name)
        assert container.ended() != KILLED, container.log()  # by the signal itself, if it came before its handler


def test_a_volume_keeps_the_answers_over_a_new_container(podman: Podman) -> None:
    """A new volume takes the owner of the folder under it, so no chown is needed."""
    volume = podman.ok("volume", "create")
    options = (*HARDENED, f"--volume={volume}:/var/lib/cams-exporter")
    try:
        with podman.running("--demo", "--storage.path=/var/lib/cams-exporter", options=options) as container:
            container.wait_until_healthy()
            until(lambda: "_last_poll_success{" in container.ok("python3", "-c", FETCH), "a number was polled")
            container.signal("TERM")
            assert container.ended() == 0
        with podman.running("--demo", "--storage.path=/var/lib/cams-exporter", options=options) as container:
            container.wait_until_healthy()
            restored = re.search(r'msg="answers restored".* numbers=(\d+)', container.log())
            assert restored is not None, container.log()
            assert int(restored[1]) > 0
    finally:
        podman.ok("volume", "rm", "--force", volume)


@pytest.fixture
def web_config(tmp_path: Path) -> Path:
    """A folder with a web config: TLS and basic auth."""
    authority = trustme.CA()
    certificate = authority.issue_cert("exporter.example")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    authority.issue_cert("probe.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "probe.pem")
    (tmp_path / "web.yml").write_text(
        f"basic_auth_users:\n  prometheus: {SECRET_HASH}\n"
        "tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n"
    )
    for path in tmp_path.iterdir():
        path.chmod(0o644)  # read by the container's user
    tmp_path.chmod(0o755)
    return tmp_path


WEB = "/etc/cams-exporter/web"
HEALTHCHECK = ("python3", "-m", "exporter.cli.healthcheck")


def test_the_health_check_works_under_tls_and_basic_auth(podman: Podman, web_config: Path) -> None:
    with podman.running("--demo", f"--web.config.file={WEB}/web.yml", options=mounted(web_config, WEB)) as container:
        container.wait_until_healthy()
        assert container.ok(*HEALTHCHECK).startswith("healthy: HTTP 200")


def test_the_health_check_works_under_mutual_tls(podman: Podman, web_config: Path) -> None:
    """Without a certificate it sees that the web loop runs; with one it gets the answer."""
    with (web_config / "web.yml").open("a") as file:
        file.write("  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n")
    with podman.running("--demo", f"--web.config.file={WEB}/web.yml", options=mounted(web_config, WEB)) as container:
        container.wait_until_healthy()
        assert "only to a client certificate" in container.ok(*HEALTHCHECK)
        assert container.ok(*HEALTHCHECK, f"--cert={WEB}/probe.pem").startswith("healthy: HTTP 200")


def test_the_health_check_fails_when_the_exporter_does_not_answer(podman: Podman) -> None:
    with podman.running("--demo") as container:
        container.wait_until_healthy()
        container.signal("STOP")
        assert not container.healthcheck()
        container.signal("CONT")
        container.wait_until_healthy()


def test_no_build_tool_is_left_in_the_image(podman: Podman) -> None:
    """Files that are not there cannot be attacked."""
    probe = (
        "import importlib.util as u, shutil\n"
        "print([t for t in ('gcc', 'cc', 'g++', 'make', 'git', 'pip', 'pip3') if shutil.which(t)]\n"
        "      + [m for m in ('pip', 'setuptools', 'hatchling', 'wheel', 'ensurepip') if u.find_spec(m)])"
    )
    done = podman.run("-c", probe, options=(*HARDENED, "--entrypoint=python3"))
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_image_adds_little_to_its_base(podman: Podman) -> None:
    """A build tool or a cache in the image would be found here."""
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base is not None
    sizes = [int(podman.ok("image", "inspect", "--format={{.Size}}", name)) for name in (podman.image, base[1])]
    assert 0 < sizes[0] - sizes[1] < MAX_ADDED_BYTES


def test_the_application_cannot_be_changed_by_the_user_it_runs_as(podman: Podman) -> None:
    probe = (
        "import os\n"
        "print([p for top in ('/opt', '/etc/cams-exporter') for p, _, _ in os.walk(top) if os.access(p, os.W_OK)])"
    )
    done = podman.run("-c", probe, options=("--entrypoint=python3",))
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_every_pinned_dependency_has_a_wheel_for_arm64_too(podman: Podman, tmp_path: Path) -> None:
    """Both architectures use the same hashes, without a compiler."""
    version = re.search(r"PYTHON_IMAGE=python:(3\.\d+)", DOCKERFILE)
    assert version is not None
    pinned = re.sub(r"\\\n\s+", "", (ROOT / "requirements.txt").read_text())
    wheels = [line for line in pinned.splitlines() if "==" in line and not line.startswith("alibabacloud-tea==")]
    assert wheels
    (tmp_path / "requirements.txt").write_text("\n".join(wheels))
    done = subprocess.run(
        [
            *(python_tool("python"), "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", f"--target={tmp_path / 'none'}"),
            *("--platform=manylinux_2_28_aarch64", "--platform=manylinux2014_aarch64"),
            *(f"--python-version={version[1]}", f"--requirement={tmp_path / 'requirements.txt'}"),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
