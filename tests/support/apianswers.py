"""What a client makes of answers that `responses` gives in place of the adapter: no socket is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from requests import PreparedRequest
from responses import POST, RequestsMock

from exporter.cams.client import Client
from exporter.errors import ApiError
from exporter.model import Credential
from tests.support.clients import FixedCredentials, client_of
from tests.support.clock import FakeClock

URL = "http://127.0.0.1:1/"
NOW = 1_698_315_752.0
ELAPSED_SECONDS = 0.25
REQUEST_ID = "90E63D28-E31D-1EB2-8939-A94866411B2D"
SECRET, TOKEN = "the-secret", "the-token"

T = TypeVar("T")


class Api:
    """Answers one request after the other, each after `ELAPSED_SECONDS`; the last answer goes on for ever.

    An answer is what stands beside Code, Message and RequestId in a success; or a status with a whole body.
    """

    def __init__(self, *answers: dict[str, Any] | tuple[int, object]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []
        """The operation and the parameters of each request."""
        self._clock = FakeClock(now_unix=NOW)

    def __call__(self, request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        query = dict(parse_qsl(urlsplit(request.url or "").query, keep_blank_values=True))
        self.asked.append((request.headers["x-acs-action"], query))
        self._clock.advance(ELAPSED_SECONDS)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, body = answer if isinstance(answer, tuple) else (200, success(**answer))
        return status, {}, body if isinstance(body, bytes) else json.dumps(body).encode()

    def called(self, call: Callable[[Client], T]) -> T:
        """What `call` makes of a client of this API."""
        credentials = FixedCredentials(Credential("", SECRET, TOKEN))
        with (
            RequestsMock(target="exporter.cams.adapter.GatedAdapter.send", assert_all_requests_are_fired=False) as api,
            client_of(URL, credentials=credentials, clock=self._clock) as client,
        ):
            api.add_callback(POST, URL, self)
            return call(client)

    def error(self, call: Callable[[Client], object]) -> ApiError:
        """The error that `call` ends with."""
        with pytest.raises(ApiError) as caught:
            self.called(call)
        return caught.value


def success(**fields: Any) -> dict[str, Any]:
    """A whole answer with these fields."""
    return {"RequestId": REQUEST_ID, "Code": "OK", "Message": "None", **fields}


def failure(code: str, message: str = "no", status: int = 400) -> tuple[int, dict[str, Any]]:
    """An error as the gateway gives it."""
    return status, {"RequestId": REQUEST_ID, "HostId": "cams", "Code": code, "Message": message}


NOT_OBJECTS: tuple[Any, ...] = (None, True, 1, "text", {}, {"a": 1}, [None], ["text"], [1], [[]], [{}, None])
"""JSON values that are no list of objects."""
