"""The command: what it does for which flags, and its exit status.

0 success; 1 failure at run time; 2 bad flags or configuration.  Logs go to stderr, stdout carries what was asked for.
"""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import __version__, streams
from exporter.cli.flags import flags
from exporter.cli.revision import revision
from exporter.cli.signals import EarlySignals
from exporter.errors import ConfigError
from exporter.logs import configure, fields
from exporter.model import SystemClock
from exporter.threads import run_apart

if TYPE_CHECKING:
    from exporter.config import Config, Reading, Source

logger = logging.getLogger("exporter")  # not __name__: `python -m exporter` calls this module __main__

GC_THRESHOLD = 10_000
"""New objects between two runs of the garbage collector: more than a scrape makes, so few scrapes wait for a run.  A
start makes a million objects that stay, and needs no run at all."""

OK, FAILED, MISUSED = 0, 1, 2

_WORK = frozenset({"--once", "--config.check", "--kit.output", "--help", "-h", "--version"})
"""The flags that ask for a task other than serving; none may be abbreviated."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    Modules that take long to import are imported later, so that signals are handled from early on.
    """
    gc.set_threshold(GC_THRESHOLD)
    streams.prepare()
    with EarlySignals() as signals, streams.checked(FAILED):
        return _main(arguments, signals)


def _main(arguments: Sequence[str] | None, signals: EarlySignals) -> int:
    # A server that is told to end has done its work; any other task is not done then.  This is known before the flags
    # are parsed: printing the help blocks where nobody reads it.
    given = sys.argv[1:] if arguments is None else arguments
    signals.end_with(OK if _WORK.isdisjoint(flag.partition("=")[0] for flag in given) else FAILED)
    parser = flags()
    args = parser.parse_args(arguments)
    _check_together(parser, args)
    log = configure(args.log_level, args.log_format)
    try:
        return _run(args, signals)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return MISUSED
    except OSError as error:
        logger.error("cannot go on", extra=fields(error=error))  # noqa: TRY400 - the text is enough, a traceback adds nothing
        return FAILED
    finally:
        log.drain()


def _check_together(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other.  Ends the process as argparse does, with status 2."""
    if args.demo and args.config_file is not None:
        parser.error("--demo brings its own configuration; drop --config.file, or --demo")
    if args.once_output is not None and not args.once:
        parser.error("--once.output needs --once")
    if args.config_syntax_only and not args.config_check:
        parser.error("--config.syntax-only needs --config.check")
    if args.demo and (args.config_expand_environment_variables or args.config_enable_auto_reload):
        parser.error("--demo brings its own configuration; drop --config.expand-... and --config.enable-auto-reload")
    if args.config_auto_reload_interval is not None and not args.config_enable_auto_reload:
        parser.error("--config.auto-reload-interval needs --config.enable-auto-reload")
    if args.web_systemd_socket and args.web_listen_address:
        parser.error("--web.systemd-socket takes the place of --web.listen-address; drop one of the two")
    if args.kit_output is not None and (args.config_check or args.once or args.demo):
        parser.error("--kit.output writes files and exits; drop the other task")


def _run(args: argparse.Namespace, signals: EarlySignals) -> int:
    if args.kit_output is not None:
        from exporter.cli.kit import write_kit  # noqa: PLC0415 - only --kit.output needs it

        written = write_kit(args.kit_output)
        streams.write_out("".join(f"{path}\n" for path in written).encode("utf-8", "surrogateescape"))
        return OK
    # imported here: it takes a tenth of a second, in which signals are handled
    from exporter.config import Reading, Source, Variables, read  # noqa: PLC0415

    if args.demo:
        from exporter.cli.demo import demo  # noqa: PLC0415 - only --demo needs the simulator

        with demo(serves=not (args.config_check or args.once)) as config:
            if args.config_check:
                return _check(lambda: Reading(config, None), args)
            return _run_with(args, signals, lambda: config)
    path = args.config_file or Path("config.yml")
    if args.config_check:
        environment = {} if args.config_syntax_only else os.environ
        variables = Variables(
            environment if args.config_expand_environment_variables else None, may_be_unset=args.config_syntax_only
        )
        return _check(functools.partial(read, path, variables, files=not args.config_syntax_only), args)
    source = Source(path, Variables(os.environ if args.config_expand_environment_variables else None))
    return _run_with(args, signals, source.load, source)


def _run_with(
    args: argparse.Namespace, signals: EarlySignals, load_config: Callable[[], Config], source: Source | None = None
) -> int:
    def load() -> Config:
        config = load_config()
        for warning in config.warnings:
            logger.warning("configuration", extra=fields(warning=warning))
        for fault in config.key_faults:
            logger.error(
                "key file cannot be used: an account that has a key keeps it, another is refused until it has one",
                extra=fields(error=fault),
            )
        return config

    config = run_apart(load, "configuration")
    if args.config_enable_auto_reload and config.digest is None:
        what = "was read from a pipe, which cannot be read again; name a file, or drop --config.enable-auto-reload"
        raise ConfigError([f"{config.path}: {what}"])
    if args.once and config.cluster is not None:
        raise ConfigError(
            [f"{config.path}: cluster: --once would poll beside the replicas; leave it out, or remove the section"]
        )
    from exporter.app import App  # noqa: PLC0415 - --config.check and --version do not need it

    build = functools.partial(
        App,
        config,
        SystemClock(),
        version=__version__,
        revision=revision(),
        repeat=not args.once,
        about_exporter=not args.once,  # node_exporter refuses a second set, its own or another file's
        about_process=not args.web_disable_exporter_metrics,
        storage_path=args.storage_path,
    )
    signals.end_if_asked()
    app = run_apart(build, "start")
    if args.once:
        from exporter.cli.once import run_once  # noqa: PLC0415 - only --once needs it

        return run_once(app, args.once_output)
    from exporter.cli.serve import serve  # noqa: PLC0415 - aiohttp takes 0.15 s to import

    serve(app, args, signals, load, source if args.config_enable_auto_reload else None)
    return OK


def _check(read_config: Callable[[], Reading], args: argparse.Namespace) -> int:
    """Print what the files say; raises ConfigError with the faults of all of them."""
    from exporter.cli.check import check  # noqa: PLC0415 - only --config.check needs it

    said = run_apart(lambda: check(read_config(), args.web_config_file, syntax_only=args.config_syntax_only), "check")
    streams.write_out(f"{said}\n".encode("utf-8", "backslashreplace"))
    return OK


if __name__ == "__main__":
    sys.exit(main())
