"""Decides the answer to one request, in the order of the real gateway, and logs it.  Does not wait and does not send.

The order is: route, signature, key, the account's limit, its subscription and permission, the parameters.

Source: Alibaba Cloud API reference (errors of GetPhoneNumberVerificationStatus) and signature method V3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate

from exporter.simulator import signature
from exporter.simulator.faults import Fault
from exporter.simulator.messages import ACTION, VERSION, Refusal, Reply, Request, failure, success
from exporter.simulator.timeline import now
from exporter.simulator.world import Account, Arrival, Number, World

MAX_SKEW_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class Decision:
    """Wait `delay_seconds`, then play `fault` if there is one, else send `reply`."""

    reply: Reply
    fault: Fault | None = None
    delay_seconds: float = 0.0


class _RefusedError(Exception):
    """Ends the decision: the request is refused."""

    def __init__(
        self, refusal: Refusal, detail: str = "", *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.refusal = refusal
        self.message = f"{refusal.message} {detail}".strip()
        self.status = status or refusal.status
        self.headers = headers or {}
        super().__init__(refusal.code)


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
            )
        )
        return decision


def date_header(world: World) -> str:
    """The `Date` of an answer sent now."""
    return formatdate(world.service_unix, usegmt=True)


class _Case:
    """One request; `account` is known once its key is."""

    def __init__(self, world: World, request: Request) -> None:
        self.world = world
        self.request = request
        self.arrived_at = world.clock.monotonic()
        self.request_id = world.new_request_id()
        self.parameters = request.parameters()
        self.account: Account | None = None

    def decide(self) -> Decision:
        try:
            account = self._authenticate()
            self._admit(account)
        except _RefusedError as refused:
            return Decision(self._refuse(refused))
        number = account.numbers.get((self.parameters.get("CustSpaceId", ""), self.parameters.get("PhoneNumber", "")))
        try:
            reply = self._answer(account, number)
        except _RefusedError as refused:
            reply = self._refuse(refused)
        return Decision(reply, self.world.take_fault(account, number), self.world.draw_latency(number))

    def _refuse(self, refused: _RefusedError) -> Reply:
        headers = {"Date": date_header(self.world), **refused.headers}
        return failure(self.request_id, refused.status, refused.refusal.code, refused.message, headers)

    def _authenticate(self) -> Account:
        request, world = self.request, self.world
        if request.path != "/" or request.method not in ("GET", "POST"):
            raise _RefusedError(Refusal.NO_SUCH_API)
        authorization = signature.parse_authorization(request.headers.get("authorization", ""))
        if authorization is None:
            raise _RefusedError(Refusal.INCOMPLETE_SIGNATURE, "Authorization is missing or malformed.")
        owner = world.find_key(authorization.access_key_id)
        if owner is None:
            raise _RefusedError(Refusal.UNKNOWN_KEY)
        self.account, key = owner
        missing = signature.missing_headers(request, authorization.signed_headers)
        if missing:
            raise _RefusedError(Refusal.INCOMPLETE_SIGNATURE, f"Not sent and signed: {', '.join(missing)}.")
        self._check_date(request.headers["x-acs-date"])
        if not signature.is_valid(request, authorization, key.access_key_secret):
            text = signature.string_to_sign(request, authorization.signed_headers)
            raise _RefusedError(Refusal.WRONG_SIGNATURE, f"server string to sign is:{text}")
        if not key.active:
            raise _RefusedError(Refusal.INACTIVE_KEY)
        self._check_token(key.security_token)
        if not world.is_new_nonce(authorization.access_key_id, request.headers["x-acs-signature-nonce"]):
            raise _RefusedError(Refusal.NONCE_USED)
        self._check_action()
        return self.account

    def _check_date(self, text: str) -> None:
        try:
            signed_at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise _RefusedError(Refusal.MALFORMED_DATE) from None
        if abs(signed_at.timestamp() - self.world.service_unix) > MAX_SKEW_SECONDS:
            raise _RefusedError(Refusal.EXPIRED_DATE)

    def _check_token(self, expected: str) -> None:
        token = self.request.headers.get("x-acs-security-token", "")
        if expected and not token:
            raise _RefusedError(Refusal.MISSING_TOKEN)
        if token != expected:
            raise _RefusedError(Refusal.WRONG_TOKEN)

    def _check_action(self) -> None:
        if self.request.headers["x-acs-version"] != VERSION:
            raise _RefusedError(Refusal.NO_SUCH_VERSION)
        if self.request.headers["x-acs-action"] != ACTION:
            raise _RefusedError(Refusal.NO_SUCH_API)

    def _admit(self, account: Account) -> None:
        limit = now(account.rate_limit, self.world.elapsed_seconds)
        room_in_seconds = account.window.admit(self.arrived_at, limit)
        if not room_in_seconds:
            return
        rule = account.throttle
        pause_ms = max(1, round(room_in_seconds * 1000)) if rule.pause_ms is None else rule.pause_ms
        headers: dict[str, str] = {}
        if rule.header == "x-acs-retry-after":
            headers[rule.header] = str(pause_ms)
        elif rule.header != "none":
            headers[rule.header] = f"Limit:{limit},Remain:0,TimeLeft:{pause_ms},Reset:{pause_ms}"
        raise _RefusedError(rule.refusal, status=rule.status, headers=headers)

    def _answer(self, account: Account, number: Number | None) -> Reply:
        elapsed = self.world.elapsed_seconds
        refusal = now(account.refusal, elapsed)
        if refusal is not None:
            raise _RefusedError(refusal)
        phone_number = self.parameters.get("PhoneNumber", "")
        if not self.parameters.get("CustSpaceId"):
            raise _RefusedError(Refusal.MISSING_SPACE)
        if not phone_number:
            raise _RefusedError(Refusal.MISSING_NUMBER)
        if not (phone_number.isascii() and phone_number.isdigit()):
            raise _RefusedError(Refusal.INVALID_NUMBER)
        if number is None:
            raise _RefusedError(Refusal.NOT_YOURS)
        headers = {"Date": date_header(self.world)}
        return success(self.request_id, phone_number, number.id, now(number.status, elapsed), headers)
