"""The command: what it does for which flags, and its exit status.

0 success; 1 failure at run time; 2 bad flags or configuration.  Logs go to stderr, stdout carries what was asked for.
"""

from __future__ import annotations

import argparse
import functools
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import __version__, streams
from exporter.cli.flags import flags, revision
from exporter.cli.signals import EarlySignals
from exporter.errors import ConfigError
from exporter.logs import configure, fields
from exporter.model import SystemClock
from exporter.threads import run_apart

if TYPE_CHECKING:
    from exporter.app import App
    from exporter.config import Config, Reading
    from exporter.web.security.reloader import WebSecurity

logger = logging.getLogger("exporter")  # not __name__: `python -m exporter` calls this module __main__

OK, FAILED, MISUSED = 0, 1, 2

_WORK = frozenset({"--once", "--config.check", "--help", "-h", "--version"})
"""The flags that ask for something else than to serve; none may be abbreviated or takes a value."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    What takes long to import is imported later: a signal finds its handler as early as can be.
    """
    streams.prepare()
    with EarlySignals() as signals, streams.Checked(FAILED):
        return _main(arguments, signals)


def _main(arguments: Sequence[str] | None, signals: EarlySignals) -> int:
    # Where it would serve, it was told to end and nothing is lost; else what was asked for is not done.  Known before
    # the flags are parsed: nobody may read the help that this prints.
    given = sys.argv[1:] if arguments is None else arguments
    signals.end_with(OK if _WORK.isdisjoint(given) else FAILED)
    parser = flags()
    args = parser.parse_args(arguments)
    if args.demo and args.config_file is not None:
        parser.error("--demo brings its own configuration; drop --config.file, or --demo")
    if args.once_output is not None and not args.once:
        parser.error("--once.output needs --once")
    if args.syntax_only and not args.config_check:
        parser.error("--config.syntax-only needs --config.check")
    log = configure(args.log_level, args.log_format)
    try:
        return _run(args, signals)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return MISUSED
    except OSError as error:
        logger.error("cannot go on", extra=fields(error=error))  # noqa: TRY400 - the text says it all, a traceback nothing
        return FAILED
    finally:
        log.close()


def _run(args: argparse.Namespace, signals: EarlySignals) -> int:
    from exporter.config import Reading, load, read  # noqa: PLC0415 - a tenth of a second, in which signals are handled

    if args.demo:
        from exporter.cli.demo import demo  # noqa: PLC0415 - only --demo needs the simulator

        with demo() as config:
            logger.warning("demo: every number and status is simulated")
            if args.config_check:
                return _check(lambda: Reading(config, None), args)
            return _run_with(args, signals, lambda: config)
    path = args.config_file or Path("config.yml")
    if args.config_check:
        return _check(functools.partial(read, path, files=not args.syntax_only), args)
    return _run_with(args, signals, functools.partial(load, path))


def _run_with(args: argparse.Namespace, signals: EarlySignals, load_config: Callable[[], Config]) -> int:
    config = _warned(run_apart(load_config, "configuration"))
    import asyncio  # noqa: PLC0415 - --config.check and --version need none of the machinery

    from exporter.app import App  # noqa: PLC0415 - likewise
    from exporter.web.security.reloader import WebSecurity  # noqa: PLC0415 - likewise

    build = functools.partial(
        App,
        config,
        SystemClock(),
        version=__version__,
        revision=revision(),
        repeat=not args.once,
        about_exporter=not args.once,  # node_exporter refuses a second set, its own or another file's
        storage_path=args.storage_path,
    )
    signals.end_if_asked()
    app = run_apart(build, "start")
    if args.once:
        return _once(app, args)
    security = run_apart(functools.partial(WebSecurity, args.web_config_file), "web-configuration")
    return asyncio.run(_serve(app, args, signals, load_config, security))


def _check(read_config: Callable[[], Reading], args: argparse.Namespace) -> int:
    """Print what the files say; raises ConfigError with the faults of all of them."""
    from exporter.cli.check import check  # noqa: PLC0415 - only --config.check needs it

    said = run_apart(lambda: check(read_config(), args.web_config_file, syntax_only=args.syntax_only), "check")
    streams.write_out(f"{said}\n".encode("utf-8", "backslashreplace"))
    return OK


def _once(app: App, args: argparse.Namespace) -> int:
    from exporter.cli.once import run_once  # noqa: PLC0415 - only --once needs it

    return run_once(app, args.once_output)


async def _serve(
    app: App,
    args: argparse.Namespace,
    signals: EarlySignals,
    load_config: Callable[[], Config],
    security: WebSecurity,
) -> int:
    import asyncio  # noqa: PLC0415 - imported by now, but not above

    from exporter.reloads import Reloads  # noqa: PLC0415 - likewise
    from exporter.web.server import WebServer  # noqa: PLC0415 - aiohttp takes 0.15 s to import
    from exporter.web.ui.views import LandingInfo  # noqa: PLC0415 - likewise

    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    reloads = Reloads(functools.partial(_reload, app, load_config), app.reload_hangs)
    reloads.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    signals.end_if_asked()
    server = WebServer(
        addresses=args.listen_addresses or [":10106"],
        telemetry_path=args.telemetry_path,
        max_requests=args.max_requests,
        exposer=app.exposition,
        health=app,
        landing=LandingInfo(version=__version__, demo=args.demo),
        fleet=app,
        scraping=app.priority.scrape,
        security=security,
        reload=reloads.ask if args.enable_lifecycle else None,
        count_refusal=app.refused_connection,
    )
    for url in await server.start():
        logger.info("listening", extra=fields(address=url, telemetry_path=args.telemetry_path))
    app.start()
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    if signals.reload_asked:  # while it started: the file it had read by then may be another one now
        reloads.ask()
    await stopped.wait()
    logger.info("stopping")
    reloads.stop()
    app.stop()
    await server.stop()
    return OK


def _reload(app: App, load_config: Callable[[], Config]) -> None:
    """Reload and say in the log how it went; raises what went wrong, for whoever asked over HTTP."""
    try:
        app.reload(lambda: _warned(load_config()))
    except ConfigError as error:
        for fault in error.faults:
            logger.error("configuration refused, the old one stays in force", extra=fields(error=fault))  # noqa: TRY400 - no traceback for a typo
        raise
    except Exception:
        logger.exception("reload failed, the old configuration stays in force")
        raise
    logger.info("configuration reloaded")


def _warned(config: Config) -> Config:
    for warning in config.warnings:
        logger.warning("configuration", extra=fields(warning=warning))
    for fault in config.key_faults:
        logger.error(
            "key file of no use: an account that has no key yet is refused until it has one", extra=fields(error=fault)
        )
    return config


if __name__ == "__main__":
    sys.exit(main())
