"""How the store is reached: a redis-py client for a URL, a unix socket, or whatever Sentinel says.

The only module that imports redis.  It is imported when a cluster is configured, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from exporter.cluster.store.replies import GarbledError, StoreError, UnknownScriptError
from exporter.cluster.store.scripts import FOREIGN
from exporter.config.numbers import redact
from exporter.config.settings import ClusterConfig

CURES = (
    (redis.exceptions.AuthenticationError, "check cluster.username and its password"),
    (redis.exceptions.NoPermissionError, "give the user the ACL line of docs/security.md, with cluster.key_prefix"),
)
"""What to do about an error, for the log."""


def connected(config: ClusterConfig, password: str | None, timeout_seconds: float) -> redis.Redis:
    """A client with a connection; it asks once, and waits for at most `timeout_seconds` at a time.  Raises StoreError.

    Nothing is retried here: a contact that is repeated later counts from when it was asked first.
    """
    client = _client(config, password, timeout_seconds)
    try:
        asked(lambda: client.connection_pool.release(client.connection_pool.get_connection()))
    except StoreError:
        client.close()
        raise
    return client


def _client(config: ClusterConfig, password: str | None, timeout_seconds: float) -> redis.Redis:
    options: dict[str, Any] = {
        "username": config.username or None,
        "password": password,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,  # else a connection begins with a command that the user of the store may lack
    }
    tls = {
        "ssl_ca_certs": None if config.ca_file is None else str(config.ca_file),
        "ssl_certfile": None if config.cert_file is None else str(config.cert_file),
        "ssl_keyfile": None if config.key_file is None else str(config.key_file),
    }
    if config.sentinels:
        if config.tls:
            options |= {"ssl": True, **tls}
        # A Sentinel only tells an address: it gets no password of the store.
        asking = options | {"username": None, "password": None}
        sentinel: Any = Sentinel(config.sentinels, sentinel_kwargs=asking, **options)  # type: ignore[no-untyped-call]
        client: redis.Redis = sentinel.master_for(config.master_name)
        return client
    if config.url.startswith("rediss://"):
        options |= tls
    return redis.Redis.from_url(config.url, **options)


def asked(call: Callable[[], object]) -> object:
    """What the store answers; raises StoreError, whose text has neither a password nor a phone number.

    What was sent or stored may come back: in the text of an unknown command, or in an answer that redis-py cannot read.
    """
    try:
        return call()
    except StoreError:
        raise
    except redis.exceptions.NoScriptError as error:
        raise UnknownScriptError(str(error)) from None
    except (redis.exceptions.ResponseError, redis.exceptions.AuthenticationError) as error:
        if FOREIGN in str(error) or "WRONGTYPE" in str(error):
            raise GarbledError(FOREIGN) from None
        cure = next((f"; {cure}" for kind, cure in CURES if isinstance(error, kind)), "")
        text = redact(str(error).partition(", with args")[0].removesuffix("."))
        raise StoreError(text[:200] + cure) from None
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
        text = str(error).partition(" : <")[0]  # without the repr of a Sentinel's client
    except Exception as error:  # noqa: BLE001 - on a garbled answer redis-py raises ValueError, RecursionError and others
        raise StoreError(f"the answer is none of a store ({type(error).__name__})") from None
    raise StoreError(text[:200])
