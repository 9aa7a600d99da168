"""`--config.check`: read all files that a start reads, and report all faults at once.  Sends no request.

A start goes on without a missing or malformed key, because of the other accounts; here that is a fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from exporter.cams.endpoint import endpoint_of
from exporter.cams.proxies import proxy_for
from exporter.config import AccountConfig, Config, Reading, parse_key, plan
from exporter.errors import ConfigError

STS_HOST = "sts.aliyuncs.com"
"""Alibaba Cloud's library assumes roles here by default."""

RSA_STS_HOST = "sts.ap-northeast-1.aliyuncs.com"
"""It exchanges key pairs here by default."""

_KEY_VARIABLES = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
"""The default chain reads these first."""


def check(reading: Reading, web_config_file: Path | None, *, syntax_only: bool) -> str:
    """A summary of the files, for people; raises ConfigError with the faults of all of them.

    With `syntax_only` it looks neither at the files that they name nor at the environment.
    """
    config, faults = reading.config, list(reading.error.faults if reading.error else ())
    said = []
    if config is not None:
        faults += config.key_faults
        if not syntax_only:
            faults += _environment_faults(config)
    if config is not None and not faults:
        said.append(plan(config))
    if web_config_file is not None:
        try:
            said.append(_web_summary(web_config_file, syntax_only))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    if syntax_only:
        said.append("not looked at: key, hash key, token, number, CA and certificate files, and the environment")
    return "\n\n".join(said)


def _web_summary(path: Path, syntax_only: bool) -> str:
    from exporter.web.security.config import load_web_config  # noqa: PLC0415 - needed only with this file

    config = load_web_config(path, look_into_files=not syntax_only)
    return "\n".join([f"{path}: valid: {config.summary()}", *(f"warning: {warning}" for warning in config.warnings)])


def _environment_faults(config: Config) -> list[str]:
    """Faults in the environment that would stop requests or spoil keys."""
    looks: list[Callable[[], object]] = []
    for account in config.accounts:
        api = account.api
        looks.append(partial(endpoint_of, api.endpoint, api.ca_file, api.proxy))
        looks += [partial(proxy_for, url, api.proxy) for url in _urls(account)]
    if any(account.credentials.type == "default" for account in config.accounts):
        looks += [partial(_look_at_key, name) for name in _KEY_VARIABLES if os.environ.get(name)]
    faults: dict[str, None] = {}
    for look in looks:
        try:
            look()
        except ConfigError as error:
            faults |= dict.fromkeys(error.faults)
    return list(faults)


def _urls(account: AccountConfig) -> Iterator[str]:
    """All addresses that are asked for the account: the API, and the source of its credentials."""
    yield account.api.endpoint
    options = account.credentials.options
    if "role_arn" in options:
        yield f"https://{options.get('sts_endpoint', STS_HOST)}"
    if "public_key_id" in options:
        yield f"https://{options.get('sts_endpoint', RSA_STS_HOST)}"
    if "credentials_uri" in options:
        yield str(options["credentials_uri"])


def _look_at_key(variable: str) -> None:
    try:
        parse_key(os.environ[variable])
    except ValueError as error:
        raise ConfigError([f"{variable}: {error}"]) from None
