"""The Dockerfile, and the image that scripts/test-image builds from it, run by podman as Kubernetes would run it.

The image tests need CAMS_EXPORTER_TEST_IMAGE and are run by `make test-image`; the rest runs everywhere.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

import exporter
from tests.operations.tools import ROOT, environment_tool, python_tool

DOCKERFILE = (ROOT / "Dockerfile").read_text()
WAIT_SECONDS = 60.0
"""How long a container may take to do what takes it a second or two."""

HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--read-only-tmpfs=false")
"""What Kubernetes' `restricted` profile and a read-only root leave of a container."""

SECRET_HASH = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
"""bcrypt of `secret`."""

UNMANAGED = ("--network=none", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")
"""No network but loopback of its own; limits that this process may hand on."""


def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False, **options)


def test_hadolint_finds_nothing() -> None:
    done = run([python_tool("hadolint"), "--failure-threshold=style", str(ROOT / "Dockerfile")])
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_image_is_pinned_to_a_patch_release_and_used_by_both_stages() -> None:
    """A moving tag would build another image tomorrow from the same commit."""
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2


def test_the_version_in_the_dockerfile_is_the_package_version() -> None:
    assert f"\nARG VERSION={exporter.__version__}\n" in DOCKERFILE


def test_the_build_context_is_an_allow_list() -> None:
    """A secret beside the Dockerfile must not get into a layer because somebody forgot to exclude it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        name
        for arguments in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in arguments.split()
    }
    assert allowed == copied


@dataclass(frozen=True)
class Podman:
    """The podman that has the image, and the image."""

    command: tuple[str, ...]
    image: str

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run([*self.command, *arguments])

    def ok(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run the image to its end."""
        return self("run", "--rm", *UNMANAGED, *HARDENED, *options, self.image, *arguments)

    @contextmanager
    def running(self, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[Container]:
        """The image running in the background."""
        name = self.ok("run", "--detach", *UNMANAGED, *HARDENED, *options, self.image, *arguments)
        try:
            yield Container(self, name)
        finally:
            self("rm", "--force", "--time=0", name)


@dataclass(frozen=True)
class Container:
    """A running container."""

    podman: Podman
    name: str

    def python(self, code: str) -> str:
        """What Python code prints inside."""
        return self.podman.ok("exec", self.name, "python3", "-c", code)

    def healthcheck(self) -> bool:
        """The image's own HEALTHCHECK."""
        return self.podman("healthcheck", "run", self.name).returncode == 0

    def log(self) -> str:
        done = self.podman("logs", self.name)
        return done.stdout + done.stderr

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.healthcheck():
            assert self.podman.ok("inspect", "--format={{.State.Status}}", self.name) == "running", self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def exit_status(self) -> int:
        return int(self.podman.ok("inspect", "--format={{.State.ExitCode}}", self.name))


@pytest.fixture(scope="module")
def podman() -> Podman:
    image = environment_tool("CAMS_EXPORTER_TEST_IMAGE", "make test-image builds the image and runs this")
    return Podman(tuple(shlex.split(os.environ["CAMS_EXPORTER_TEST_PODMAN"])), image)


@pytest.fixture(scope="module")
def config(podman: Podman) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(podman.ok("image", "inspect", podman.image))[0]["Config"]
    return described


def test_the_image_says_what_it_is(config: dict[str, Any]) -> None:
    """Registries and scanners read these labels; the revision leads from a running container to its source."""
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
    # What the official Python image sets comes on top.
    ours = {"PATH", "HOME", "CAMS_EXPORTER_REVISION"}
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


def test_a_configuration_is_found_where_the_manifests_mount_it(podman: Podman, tmp_path: Path) -> None:
    mounted = tmp_path / "config.yml"
    mounted.write_text(
        "accounts:\n- name: a\n  credentials: {type: access_key, access_key_id: id, access_key_secret: secret}\n"
        '  numbers:\n  - {phone_number: "8613800001234", cust_space_id: cams-1}\n'
    )
    done = podman.run("--config.check", options=(f"--volume={mounted}:/etc/cams-exporter/config.yml:ro",))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("user", ["65532:65532", "1000650000:0"], ids=["its own user", "any user"])
def test_it_serves_under_the_restricted_profile_and_stops_when_told(podman: Podman, user: str) -> None:
    """Read-only root, no capability, no new privilege; OpenShift gives each namespace a user of its own."""
    with podman.running("--demo", options=(f"--user={user}",)) as container:
        container.wait_until_healthy()
        fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:10106/metrics').read().decode())"
        metrics = container.python(fetch)
        assert "\ncams_exporter_build_info{" in metrics
        assert f'version="{exporter.__version__}"' in metrics
        assert metrics.count("\ncams_phone_number_info{") >= 10
        written = [line for line in podman.ok("diff", container.name).splitlines() if line != "C /etc"]
        assert not written, "it wrote to its root"
        podman.ok("stop", "--time=30", container.name)
        assert container.exit_status() == 0


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


def web_options(folder: Path) -> tuple[str, ...]:
    return (f"--volume={folder}:/etc/cams-exporter/web:ro",)


WEB_FLAG = "--web.config.file=/etc/cams-exporter/web/web.yml"


def test_the_health_check_works_under_tls_and_basic_auth(podman: Podman, web_config: Path) -> None:
    with podman.running("--demo", WEB_FLAG, options=web_options(web_config)) as container:
        container.wait_until_healthy()
        said = container.podman.ok("exec", container.name, "python3", "-m", "exporter.healthcheck")
        assert said.startswith("healthy: HTTP 200")


def test_the_health_check_works_under_mutual_tls(podman: Podman, web_config: Path) -> None:
    """Without a certificate it sees that the web loop turns; with one it hears the answer."""
    with (web_config / "web.yml").open("a") as file:
        file.write("  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n")
    with podman.running("--demo", WEB_FLAG, options=web_options(web_config)) as container:
        container.wait_until_healthy()
        certificate = "--cert=/etc/cams-exporter/web/probe.pem"
        said = container.podman.ok("exec", container.name, "python3", "-m", "exporter.healthcheck", certificate)
        assert said.startswith("healthy: HTTP 200")


def test_the_health_check_fails_when_the_exporter_does_not_answer(podman: Podman) -> None:
    with podman.running("--demo") as container:
        container.wait_until_healthy()
        podman.ok("kill", "--signal=STOP", container.name)
        assert not container.healthcheck()
        podman.ok("kill", "--signal=CONT", container.name)
        container.wait_until_healthy()


def test_no_build_tool_is_left_in_the_image(podman: Podman) -> None:
    """What is not there can be neither attacked nor scanned."""
    probe = (
        "import importlib.util as u, shutil\n"
        "print([t for t in ('gcc', 'cc', 'g++', 'make', 'git', 'pip', 'pip3') if shutil.which(t)]\n"
        "      + [m for m in ('pip', 'setuptools', 'hatchling', 'wheel', 'ensurepip') if u.find_spec(m)])"
    )
    done = podman.run("-c", probe, options=("--entrypoint=python3",))
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_application_cannot_be_changed_by_the_user_it_runs_as(podman: Podman) -> None:
    probe = (
        "import os\n"
        "print([p for top in ('/opt', '/etc/cams-exporter') for p, _, _ in os.walk(top) if os.access(p, os.W_OK)])"
    )
    done = podman("run", "--rm", *UNMANAGED, "--entrypoint=python3", podman.image, "-c", probe)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_every_pinned_dependency_has_a_wheel_for_arm64_too(podman: Podman, tmp_path: Path) -> None:
    """Multi-arch by construction: the same hashes serve both architectures, without a compiler."""
    version = re.search(r"PYTHON_IMAGE=python:(3\.\d+)", DOCKERFILE)
    assert version is not None
    pinned = re.sub(r"\\\n\s+", "", (ROOT / "requirements.txt").read_text())
    wheels = [line for line in pinned.splitlines() if "==" in line and not line.startswith("alibabacloud-tea==")]
    assert wheels
    (tmp_path / "requirements.txt").write_text("\n".join(wheels))
    done = run(
        [
            *(python_tool("python"), "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", f"--target={tmp_path / 'none'}"),
            *("--platform=manylinux_2_28_aarch64", "--platform=manylinux2014_aarch64"),
            *(f"--python-version={version[1]}", f"--requirement={tmp_path / 'requirements.txt'}"),
        ]
    )
    assert done.returncode == 0, done.stderr
