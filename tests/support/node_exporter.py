"""Debian's node_exporter on loopback: the exporter must accept its web configuration files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import free_port, require_binary

_ATTEMPTS = 8


@contextmanager
def node_exporter(web_config: Path, log: Path, *flags: str) -> Iterator[str]:
    """Serves for the length of the block with this web configuration and `flags`; gives ``host:port``."""
    binary = require_binary("prometheus-node-exporter")
    for _ in range(_ATTEMPTS):
        address = f"127.0.0.1:{free_port()}"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [
                    binary,
                    f"--web.listen-address={address}",
                    f"--web.config.file={web_config}",
                    "--collector.disable-defaults",
                    *flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            if _listens(process, log):
                yield address
                return
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
    raise RuntimeError(f"node_exporter did not start:\n{log.read_text()}")


def _listens(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait until it logs that it serves; False if it ends first, for example because the port is in use."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if "TLS is " in log.read_text():
            return True
        time.sleep(0.05)
    return False
