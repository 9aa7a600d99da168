"""Decides the answer to one request, in the order of the real gateway, and logs it.  Does not wait and does not send.

The order is: route, signature, key, the operation's limit, subscription and permission, the parameters.  Each operation
checks its own parameters (see `operations`).

Source: Alibaba Cloud API reference (errors of the CAMS operations) and signature method V3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from math import ceil

from exporter.simulator import signature
from exporter.simulator.faults import Fault
from exporter.simulator.messages import VERSION, Reply, Request, failure, success
from exporter.simulator.operations import OPERATIONS, Call, Operation
from exporter.simulator.refusals import Refusal, RefusedError
from exporter.simulator.timeline import now
from exporter.simulator.world import Account, Arrival, Calls, World

MAX_SKEW_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class Decision:
    """Wait `delay_seconds`, then play `fault` if there is one, else send `reply`."""

    reply: Reply
    fault: Fault | None = None
    delay_seconds: float = 0.0


def decide(world: World, request: Request) -> Decision:
    """Decide the answer to `request` and log its arrival, at one instant of the world."""
    with world.lock:
        case = _Case(world, request)
        decision = case.decide()
        world.record(
            Arrival(
                case.arrived_at,
                world.clock.unix(),
                case.account.name if case.account else "",
                case.parameters.get("CustSpaceId", ""),
                case.parameters.get("PhoneNumber", ""),
                decision.fault.name if decision.fault else decision.reply.outcome,
                case.arrived_at if request.since is None else request.since,
                case.operation.name if case.operation else "",
            )
        )
        return decision


def date_header(world: World) -> str:
    """The `Date` of an answer sent now."""
    return formatdate(world.service_unix, usegmt=True)


class _Case:
    """One request; `account` is known once its key is.  `operation` is None if no operation has that name."""

    def __init__(self, world: World, request: Request) -> None:
        self.world = world
        self.request = request
        self.arrived_at = world.clock.monotonic()
        self.request_id = world.new_request_id()
        self.parameters = request.parameters()
        self.operation = OPERATIONS.get(request.headers.get("x-acs-action", ""))
        self.account: Account | None = None

    def decide(self) -> Decision:
        try:
            account, operation = self._authenticate()
            rules = account.calls[operation.name]
            self._admit(rules)
        except RefusedError as refused:
            return Decision(self._refuse(refused))
        call = Call(account, rules, self.parameters, self.world.elapsed_seconds)
        try:
            reply = self._answer(operation, call)
        except RefusedError as refused:
            reply = self._refuse(refused)
        number = call.number
        latency_seconds = number.latency_seconds if number else None
        delay_seconds = self.world.draw_latency(latency_seconds or rules.latency_seconds)
        return Decision(reply, self._fault(operation, call), delay_seconds)

    def _refuse(self, refused: RefusedError) -> Reply:
        headers = {"Date": date_header(self.world), **refused.headers}
        return failure(self.request_id, refused.status, refused.refusal.code, refused.message, headers)

    def _authenticate(self) -> tuple[Account, Operation]:
        request, world = self.request, self.world
        if request.path != "/" or request.method not in ("GET", "POST"):
            raise RefusedError(Refusal.NO_SUCH_API)
        authorization = signature.parse_authorization(request.headers.get("authorization", ""))
        if authorization is None:
            raise RefusedError(Refusal.INCOMPLETE_SIGNATURE, "Authorization is missing or malformed.")
        owner = world.find_key(authorization.access_key_id)
        if owner is None:
            raise RefusedError(Refusal.UNKNOWN_KEY)
        self.account, key = owner
        missing = signature.missing_headers(request, authorization.signed_headers)
        if missing:
            raise RefusedError(Refusal.INCOMPLETE_SIGNATURE, f"Not sent and signed: {', '.join(missing)}.")
        self._check_date(request.headers["x-acs-date"])
        if not signature.is_valid(request, authorization, key.access_key_secret):
            text = signature.string_to_sign(request, authorization.signed_headers)
            raise RefusedError(Refusal.WRONG_SIGNATURE, f"server string to sign is:{text}")
        if not key.active:
            raise RefusedError(Refusal.INACTIVE_KEY)
        self._check_token(key.security_token)
        if not world.is_new_nonce(authorization.access_key_id, request.headers["x-acs-signature-nonce"]):
            raise RefusedError(Refusal.NONCE_USED)
        return self.account, self._check_action()

    def _check_date(self, text: str) -> None:
        try:
            signed_at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise RefusedError(Refusal.MALFORMED_DATE) from None
        if abs(signed_at.timestamp() - self.world.service_unix) > MAX_SKEW_SECONDS:
            raise RefusedError(Refusal.EXPIRED_DATE)

    def _check_token(self, expected: str) -> None:
        token = self.request.headers.get("x-acs-security-token", "")
        if expected and not token:
            raise RefusedError(Refusal.MISSING_TOKEN)
        if token != expected:
            raise RefusedError(Refusal.WRONG_TOKEN)

    def _check_action(self) -> Operation:
        if self.request.headers["x-acs-version"] != VERSION:
            raise RefusedError(Refusal.NO_SUCH_VERSION)
        if self.operation is None:
            raise RefusedError(Refusal.NO_SUCH_API)
        return self.operation

    def _admit(self, rules: Calls) -> None:
        limit = now(rules.rate_limit, self.world.elapsed_seconds)
        room_in_seconds = rules.window.admit(self.arrived_at, limit)
        if not room_in_seconds:
            return
        rule = rules.throttle
        pause_ms = max(1, round(room_in_seconds * 1000)) if rule.pause_ms is None else rule.pause_ms
        headers: dict[str, str] = {}
        if rule.header == "x-acs-retry-after":
            headers[rule.header] = str(pause_ms)
        elif rule.header == "retry-after":
            headers[rule.header] = str(ceil(pause_ms / 1000))
        elif rule.header != "none":
            headers[rule.header] = f"Limit:{limit},Remain:0,TimeLeft:{pause_ms},Reset:{pause_ms}"
        raise RefusedError(rule.refusal, status=rule.status, headers=headers)

    def _answer(self, operation: Operation, call: Call) -> Reply:
        elapsed = call.elapsed_seconds
        for refusing in (call.account, call.rules, call.space):
            if refusing is not None and (refusal := now(refusing.refusal, elapsed)) is not None:
                raise RefusedError(refusal)
        return success(self.request_id, operation.answer(call), {"Date": date_header(self.world)})

    def _fault(self, operation: Operation, call: Call) -> Fault | None:
        """The fault for this request: injected (used up), else of its number or space, its operation or its account."""
        elapsed = call.elapsed_seconds
        return (
            self.world.take_injected(call.account.name, operation.name)
            or operation.fault(call)
            or now(call.rules.fault, elapsed)
            or now(call.account.fault, elapsed)
        )
