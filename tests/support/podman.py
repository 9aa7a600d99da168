"""Containers for tests, run by the podman that scripts/test-image sets up.

`CAMS_EXPORTER_TEST_PODMAN` is its command line: storage, runtime and all.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS

HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--read-only-tmpfs=false")
"""The restrictions of Kubernetes' `restricted` profile, and a read-only root."""

UNMANAGED = ("--network=none", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")
"""Only its own loopback network; limits that this process may set."""


@dataclass(frozen=True)
class Podman:
    """The podman with the image, and the image."""

    command: tuple[str, ...]
    image: str

    @classmethod
    def of(cls, image: str) -> Podman:
        """The podman of scripts/test-image, for one of its images."""
        return cls(tuple(shlex.split(os.environ["CAMS_EXPORTER_TEST_PODMAN"])), image)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)

    def ok(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        done = self(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def run(self, *arguments: str, options: tuple[str, ...] = HARDENED) -> subprocess.CompletedProcess[str]:
        """Run the image to its end."""
        return self("run", "--rm", *UNMANAGED, *options, self.image, *arguments)

    @contextmanager
    def running(self, *arguments: str, options: tuple[str, ...] = HARDENED) -> Iterator[Container]:
        """The image running in the background."""
        name = self.ok("run", "--detach", *UNMANAGED, *options, self.image, *arguments)
        try:
            yield Container(self, name)
        finally:
            self("rm", "--force", "--time=0", name)


@dataclass(frozen=True)
class Container:
    """A running container."""

    podman: Podman
    name: str

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return self.podman("exec", self.name, *command)

    def ok(self, *command: str) -> str:
        """The output of a command inside, which must succeed."""
        return self.podman.ok("exec", self.name, *command)

    def healthcheck(self) -> bool:
        """The image's own HEALTHCHECK."""
        return self.podman("healthcheck", "run", self.name).returncode == 0

    def log(self) -> str:
        """Its output on stdout and stderr."""
        done = self.podman("logs", self.name)
        return done.stdout + done.stderr

    def wait_until_healthy(self) -> None:
        """Wait for the first health check that succeeds."""
        until(lambda: self.status() != "running" or self.healthcheck(), "the container is healthy")
        assert self.status() == "running", self.log()

    def status(self) -> str:
        """created, running, exited…"""
        return self.podman.ok("inspect", "--format={{.State.Status}}", self.name)

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        self.podman.ok("kill", f"--signal={name}", self.name)

    def ended(self) -> int:
        """Wait until it ends by itself: the exit status."""
        return int(self.podman.ok("wait", "--interval=100ms", self.name))
