"""Signals that come before anything else listens to them."""

from __future__ import annotations

import signal

import pytest

from exporter.signals import EarlySignals

ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_ends_at_once_with_the_status_as_it_is_by_then(number: signal.Signals) -> None:
    with EarlySignals() as signals:
        signals.end_with(1)
        signals.end_with(0)
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(number)
    assert ended.value.code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_comes_before_it_is_known_what_it_means_ends_as_soon_as_it_is(number: signal.Signals) -> None:
    with EarlySignals() as signals:
        signal.raise_signal(number)
        with pytest.raises(SystemExit) as ended:
            signals.end_with(0)
    assert ended.value.code == 0


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
