"""The operation of health checks: whether each number can send."""

from __future__ import annotations

from collections.abc import Callable

from exporter.cams.operations import GetWhatsappHealthStatus
from exporter.errors import ApiError
from exporter.model import Health, PhoneNumber, Slot
from exporter.polling.client import Fetcher
from exporter.polling.errands.operation import OptionalOperation, Reply


class HealthOperation(OptionalOperation[PhoneNumber, Health]):
    """GetWhatsappHealthStatus, for each number."""

    operation = GetWhatsappHealthStatus
    max_retries = 2

    def ask(self, client: Fetcher, target: PhoneNumber, gate: Callable[[], Slot]) -> Reply[Health]:
        """Ask whether a number can send."""
        health = client.check_health(target, gate)
        return Reply(health, health.elapsed_seconds)

    def succeeded(self, target: PhoneNumber, value: Health) -> None:
        """It is known whether the number can send."""
        self._recorder.checked(target, value)

    def failed(self, target: PhoneNumber, error: ApiError) -> None:
        """It is not known."""
        self._recorder.check_failed(target, error)
