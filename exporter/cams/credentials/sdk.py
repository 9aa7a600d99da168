"""Alibaba Cloud's own credentials library: imported late, without its log output and without its threads.

Its requests use the proxies that `proxies` finds, not those that the library would choose.  Its error texts are not
passed on: they hold answers of STS and URLs, and so tokens and signatures.

Source: alibabacloud-credentials 1.0.12, alibabacloud-tea 0.4.3.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from exporter.cams.credentials.key_files import Values, is_sound
from exporter.cams.endpoint import authorities_of_environment
from exporter.cams.proxies import proxy_for
from exporter.config import CredentialsConfig
from exporter.errors import ConfigError, CredentialsError
from exporter.model import Credential

_LOGGERS = ("credentials", "alibabacloud-tea")
"""They have StreamHandlers of their own and log answers and URLs."""

_HTTP_STATUS = re.compile(r"(?:http_code|HttpCode)\W{0,3}([0-9]{3})\b")
_API_CODE = re.compile(r'"Code"\s*:\s*"([A-Za-z0-9_.]{1,64})"')

_WHOLE = (
    ("unable to load credentials from any", "nothing in environment, OIDC role, profile files, ECS metadata or URI"),
    ("IMDS credentials is disabled", "ALIBABA_CLOUD_ECS_METADATA_DISABLED forbids it"),
)
_PARTS = (
    ("timed out", "no answer in time"),
    ("CERTIFICATE_VERIFY_FAILED", "the server's certificate is not trusted"),
    ("resolve", "the host name is not found"),
    ("refused", "the connection is refused"),
    ("No such file", "a file it needs is missing"),
    ("ECS metadata", "the ECS metadata service gave none"),
)
"""Phrases of error texts with their meanings.  `_WHOLE` is looked up before the HTTP status, `_PARTS` after it."""


_configured_proxy = ContextVar("configured_proxy", default="")
"""The `api.proxy` of the account for which the library works on this thread: the library makes its adapter itself."""


class _NoScheduler:
    """Takes the place of APScheduler: its thread cannot be stopped, and our own thread asks every minute."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Any method; it does nothing."""
        return lambda *_args, **_options: None


class _Adapter(HTTPAdapter):
    """Sends the library's requests without redirects, through the proxy that we find for them or none.

    The library itself sends plain HTTP, and so the keys in its answers, through HTTP_PROXY.  It ignores NO_PROXY, and
    trusts only the CA bundle of `requests`, not the CA of a proxy that opens TLS.
    """

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,  # noqa: ARG002 - what the library chose
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """As HTTPAdapter's; raises CredentialsError if the proxy is unusable."""
        try:
            proxy = proxy_for(request.url or "", _configured_proxy.get())
        except ConfigError as error:
            raise CredentialsError(str(error)) from None
        _, authorities = authorities_of_environment()
        proxies = {"https": proxy.url} if proxy else {}
        response = super().send(request, stream, timeout, authorities, cert, proxies)
        response.headers.pop("location", None)  # else the library follows it, even to plain HTTP
        return response


def connect_with(config: CredentialsConfig, proxy: str = "") -> Callable[[Values], Callable[[], Credential]]:
    """Makes a function that builds the library's client from keys; the client fetches and caches the credential.

    `proxy` is the account's `api.proxy`.
    """

    def connect(values: Values) -> Callable[[], Credential]:
        client = _client(config, values)

        def fetch() -> Credential:
            before = _configured_proxy.set(proxy)
            try:
                return _credential(client.get_credential())
            finally:
                _configured_proxy.reset(before)

        return fetch

    return connect


def _client(config: CredentialsConfig, values: Values) -> Any:
    # imported late, on the caller's thread: 0.3 s and 30 MB that accounts with plain keys do not need
    package = "alibabacloud_credentials"
    names = (f"{package}.client", f"{package}.models", f"{package}.provider.ecs_ram_role", "Tea.core")
    modules: list[Any] = [importlib.import_module(name) for name in names]
    client, models, ecs_ram_role, tea = modules
    for name in _LOGGERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).disabled = True
    ecs_ram_role.BackgroundScheduler = _NoScheduler
    tea.TeaCore.get_adapter = staticmethod(lambda _protocol, _tls_version=None: _Adapter())
    if config.type == "default":
        return client.Client()
    return client.Client(models.Config(type=config.type, **values, **config.options))


def _credential(model: Any) -> Credential:
    found: tuple[Any, ...] = (model.access_key_id, model.access_key_secret, model.security_token or "")
    key_id, secret, token = found
    if not all(isinstance(text, str) and is_sound(text) for text in found) or not (key_id and secret):
        raise CredentialsError("what was fetched is not a credential")
    return Credential(key_id, secret, token)


def reason_of(error: Exception) -> str:
    """Why the library failed, in our words; of its own text only an HTTP status and an error code are shown."""
    text = str(error)
    status, code = _HTTP_STATUS.search(text), _API_CODE.search(text)
    http = [("", f"HTTP {status[1]} {code[1] if code else ''}".rstrip())] if status else []
    return next(meaning for phrase, meaning in (*_WHOLE, *http, *_PARTS, ("", type(error).__name__)) if phrase in text)
