"""Serve until a signal ends it: the web server, the pollers, and reloads on SIGHUP or `/-/reload`."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import signal
from collections.abc import Callable

from exporter import __version__
from exporter.app import App
from exporter.cli.signals import ENDING, EarlySignals
from exporter.config import Config, Source
from exporter.errors import ConfigError
from exporter.logs import fields
from exporter.reloads import Reloads
from exporter.threads import run_apart
from exporter.web.connections.systemd_sockets import systemd_sockets
from exporter.web.security.reloader import WebSecurity
from exporter.web.server import WebServer
from exporter.web.ui.views import LandingInfo

logger = logging.getLogger(__name__)


DEFAULT_INTERVAL_SECONDS = 30.0
"""Between two looks at the configuration file."""


def serve(
    app: App,
    args: argparse.Namespace,
    signals: EarlySignals,
    load_config: Callable[[], Config],
    followed: Source | None = None,
) -> None:
    """Serve as the flags `args` say; returns after SIGTERM or SIGINT.

    `load_config` reads the configuration again, for a reload; that happens too when `followed` has changed.  Raises
    ConfigError or OSError, with texts for the user.
    """
    security = run_apart(functools.partial(WebSecurity, args.web_config_file), "web-configuration")
    asyncio.run(_serve(app, args, signals, load_config, followed, security))


async def _serve(
    app: App,
    args: argparse.Namespace,
    signals: EarlySignals,
    load_config: Callable[[], Config],
    followed: Source | None,
    security: WebSecurity,
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    interval_seconds = args.config_auto_reload_interval or DEFAULT_INTERVAL_SECONDS

    def follow() -> float:
        if followed is None:
            return interval_seconds
        if followed.has_changed(app.config):
            logger.info("configuration file has changed", extra=fields(file=app.config.path))
            reloads.ask()
        return followed.next_look_seconds(interval_seconds)

    reloads = Reloads(
        functools.partial(_reload, app, load_config),
        app.reload_hangs,
        app.look_at_number_files,
        follow=follow if followed is not None else None,
    )
    reloads.start()
    for number in ENDING:
        loop.add_signal_handler(number, stopped.set)
    signals.end_if_asked()
    server = WebServer(
        addresses=systemd_sockets() if args.web_systemd_socket else args.web_listen_address or [":10106"],
        telemetry_path=args.web_telemetry_path,
        max_requests=args.web_max_requests,
        exposer=app.exposition,
        health=app,
        landing=LandingInfo(version=__version__, demo=args.demo),
        fleet=app,
        scraping=app.priority.scrape,
        security=security,
        reload=reloads.ask if args.web_enable_lifecycle else None,
        count_refusal=app.refused_connection,
    )
    for url in await server.start():
        logger.info("listening", extra=fields(address=url, telemetry_path=args.web_telemetry_path))
    app.start()
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    if signals.reload_asked:  # during the start: the file may have changed after it was read
        reloads.ask()
    await stopped.wait()
    logger.info("stopping")
    reloads.stop()
    app.stop()
    await server.stop()


def _reload(app: App, load_config: Callable[[], Config]) -> None:
    """Reload and log the result; raises what went wrong, for the caller over HTTP."""
    try:
        app.reload(load_config)
    except ConfigError as error:
        for fault in error.faults:
            logger.error("configuration refused, the old one stays in force", extra=fields(error=fault))  # noqa: TRY400 - no traceback for a typo
        raise
    except Exception:
        logger.exception("reload failed, the old configuration stays in force")
        raise
    logger.info("configuration reloaded")
