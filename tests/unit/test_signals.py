"""Signals that come before any other handler."""

from __future__ import annotations

import signal
import weakref
from collections.abc import Callable

import pytest

from exporter.cli.signals import EarlySignals

ENDS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def status_of(start: Callable[[EarlySignals], object]) -> object:
    """The exit status of a start that a signal ends."""

    def begin() -> None:
        with EarlySignals() as signals:
            start(signals)

    with pytest.raises(SystemExit) as ended:
        begin()
    return ended.value.code


@ENDS
def test_a_signal_ends_at_once_with_the_current_exit_status(number: signal.Signals) -> None:
    def start(signals: EarlySignals) -> None:
        signals.end_with(1)
        signals.end_with(0)
        signal.raise_signal(number)
        pytest.fail("it goes on")

    assert status_of(start) == 0


@ENDS
def test_an_early_end_takes_effect_once_its_meaning_is_known(number: signal.Signals) -> None:
    def start(signals: EarlySignals) -> None:
        signal.raise_signal(number)
        signals.end_with(0)
        pytest.fail("it goes on")

    assert status_of(start) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python reports what it dropped
@ENDS
def test_an_end_that_python_dropped_comes_at_the_next_check(number: signal.Signals) -> None:
    """An exception in the callback of a weak reference is lost, and each import runs some callbacks."""

    class Module:
        pass

    def start(signals: EarlySignals) -> None:
        signals.end_with(1)
        signals.end_if_asked()
        module = Module()
        seen = weakref.ref(module, lambda _: signal.raise_signal(number))
        del module
        assert seen() is None
        signals.end_if_asked()
        pytest.fail("it goes on")

    assert status_of(start) == 1


@ENDS
def test_an_end_that_c_code_replaced_by_another_exception_comes_at_the_end_of_the_block(number: signal.Signals) -> None:
    def start(signals: EarlySignals) -> None:
        signals.end_with(1)
        try:
            signal.raise_signal(number)
        except SystemExit:
            raise TypeError("expected a message argument") from None

    assert status_of(start) == 1


def test_a_reload_is_remembered_and_nothing_else() -> None:
    with EarlySignals() as signals:
        assert not signals.reload_asked
        signal.raise_signal(signal.SIGHUP)
        assert signals.reload_asked


def test_the_handlers_are_those_of_before_once_it_is_left() -> None:
    before = [signal.getsignal(number) for number in ALL]
    with EarlySignals():
        assert not set(before) & {signal.getsignal(number) for number in ALL}
    assert [signal.getsignal(number) for number in ALL] == before
