"""Debian's node_exporter on loopback: the exporter must accept its web configuration files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import require_binary, reserved_port


@contextmanager
def node_exporter(web_config: Path, log: Path, *flags: str) -> Iterator[str]:
    """Serves for the length of the block with this web configuration and `flags`; gives ``host:port``."""
    binary = require_binary("prometheus-node-exporter")
    with reserved_port() as port, log.open("wb") as sink:
        address = f"127.0.0.1:{port}"
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
            until(lambda: _listens(process, log), "node_exporter serves")
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _listens(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether it logs that it serves."""
    said = log.read_text()
    assert process.poll() is None, f"node_exporter ended:\n{said}"
    return "TLS is " in said
