"""The operations of the endpoint, one module each; `call` has what they share."""

from collections.abc import Mapping

from exporter.simulator.operations import health, instances, phone_numbers, status
from exporter.simulator.operations.call import Call, Operation

OPERATIONS: Mapping[str, Operation] = {
    module.OPERATION.name: module.OPERATION for module in (status, instances, phone_numbers, health)
}
"""By the name that `x-acs-action` carries."""

__all__ = ["OPERATIONS", "Call", "Operation"]
