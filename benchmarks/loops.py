"""Calls one endpoint in a loop from one thread, with the official SDK or with the exporter's own client.

    python -m benchmarks.loops sdk|client URL CA_FILE SECONDS [CALLS_PER_SECOND]

Runs as its own process.  Prints one line of JSON: calls, and their CPU and wall seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.fleet import phone_number, space

Call = Callable[[str], object]


def _sdk(url: str, ca_file: str) -> Call:
    from alibabacloud_cams20200606.client import Client  # type: ignore[import-untyped] # the SDK has no types
    from alibabacloud_cams20200606.models import (  # type: ignore[import-untyped] # likewise
        GetPhoneNumberVerificationStatusRequest,
    )
    from alibabacloud_tea_openapi.utils_models import Config  # type: ignore[import-untyped] # likewise
    from darabonba.runtime import RuntimeOptions  # type: ignore[import-untyped] # likewise

    scheme, _, endpoint = url.partition("://")
    client = Client(Config(access_key_id="key-000", access_key_secret="secret", endpoint=endpoint, protocol=scheme))
    options = RuntimeOptions(ca=ca_file)

    def call(number: str) -> object:
        request = GetPhoneNumberVerificationStatusRequest(cust_space_id=space(0), phone_number=number)
        return client.get_phone_number_verification_status_with_options(request, options).body.data.id

    return call


def _client(url: str, ca_file: str) -> Call:
    from exporter.cams.client import Client
    from exporter.cams.endpoint import endpoint_of
    from exporter.model import Credential, PhoneNumber, SystemClock

    class Static:
        """A credential that does not change."""

        def get(self) -> Credential:
            return Credential("key-000", "secret")

        def changes(self) -> int:
            return 1

        def ready(self) -> bool:
            return True

        def refresh(self) -> None:
            pass

    client = Client(
        account="account-000",
        endpoint=endpoint_of(url, Path(ca_file)),
        timeout_seconds=10.0,
        credentials=Static(),
        clock=SystemClock(),
        max_connections=1,
    )
    return lambda number: client.fetch(PhoneNumber("account-000", space(0), number, number)).phone_number_id


def main() -> None:
    kind, url, ca_file, seconds, *rate = sys.argv[1:]
    call = {"sdk": _sdk, "client": _client}[kind](url, ca_file)
    pause = 1 / float(rate[0]) if rate else 0.0
    for index in range(3):  # connects, and makes late imports
        assert call(phone_number(index)) == f"1{phone_number(index)}", "another number's answer"
    calls = 0
    cpu, began = time.process_time(), time.monotonic()
    while time.monotonic() - began < float(seconds):
        call(phone_number(calls % 10_000))
        calls += 1
        if pause:
            time.sleep(max(0.0, began + calls * pause - time.monotonic()))
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    print(json.dumps({"calls": calls, "cpu": cpu, "wall": wall}))


if __name__ == "__main__":
    main()
