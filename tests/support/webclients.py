"""Common clients of a server with TLS and passwords: curl, and Python's own."""

from __future__ import annotations

import base64
import http.client
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.patience import PATIENCE_SECONDS

REFUSED = 0
"""Used as the status if no HTTP answer came."""


@dataclass(frozen=True)
class Credentials:
    """A client's settings: its trusted authority, its certificate and key in one file, user and password."""

    authority: Path
    client: Path | None = None
    user: tuple[str, str] | None = None


def curl(url: str, credentials: Credentials) -> int:
    """The status that curl gets."""
    options = ["--cacert", str(credentials.authority)]
    if credentials.client is not None:
        options += ["--cert", str(credentials.client)]
    if credentials.user is not None:
        options += ["--user", ":".join(credentials.user)]
    done = subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}", *options, url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return int(done.stdout) if done.returncode == 0 else REFUSED


def python(url: str, credentials: Credentials) -> int:
    """The status that Python's http.client gets."""
    headers = {}
    if credentials.user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(credentials.user).encode()).decode()
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(credentials.authority))
        if credentials.client is not None:
            context.load_cert_chain(credentials.client)
        client: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, timeout=PATIENCE_SECONDS, context=context
        )
    else:
        client = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
    try:
        client.request("GET", parts.path, headers=headers)
        return client.getresponse().status
    except OSError:
        return REFUSED
    finally:
        client.close()


CLIENTS: dict[str, Callable[[str, Credentials], int]] = {"curl": curl, "python": python}
