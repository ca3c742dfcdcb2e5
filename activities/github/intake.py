"""The webhook's front door (DESIGN §6): prove who sent it, read what it means, hand it to Temporal, and only then say yes.

GitHub waits ten seconds and never sends a delivery again by itself; one that was answered with an error is listed as failed, where the
sweep finds it.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, assert_never

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import NeedsHuman, TryAgain
from activities.github.deliveries import read_delivery
from activities.settings import DoorSettings, read_secret
from workflows import addresses
from workflows.messages import BaseMoved, Delivery, Ignored, Rerequested, Woke
from workflows.story import Story
from workflows.sweep import PUSH_TO_BASE, SweepOrder
from workflows.timing import Timing

WEBHOOK_PATH: Final = "/webhooks/github"
HEALTH_PATH: Final = "/healthz"
log = logging.getLogger("skeebot")

ACCEPT_WITHIN: Final = 8.0
"""Seconds for Temporal to accept; GitHub gives up after ten."""

Accept = Callable[[Delivery], Awaitable[None]]
"""Hands a delivery over durably. Errors: TryAgain when it was not accepted."""


Health = Callable[[], Awaitable[bool]]
"""Whether a delivery would be accepted now."""


async def _always() -> bool:
    return True


def webhook_app(settings: DoorSettings, accept: Accept, healthy: Health = _always) -> Starlette:
    """POST WEBHOOK_PATH and GET HEALTH_PATH, which answers 503 while not healthy.

    202 accepted by Temporal · 200 ignored, with the reason · 400 a header is missing · 401 not signed with our secret · 413 too large ·
    415 sent as a form · 503 Temporal did not accept it. Errors: NeedsHuman when the webhook secret cannot be read or is empty.
    """
    secret = read_secret(settings.github.webhook_secret_file, "the webhook secret").encode()
    if not secret:
        raise NeedsHuman(
            f"The webhook secret in {settings.github.webhook_secret_file} is empty, so anybody could sign deliveries. Write the secret of"
            " the GitHub App's webhook into it."
        )
    limit, bot_login, protocol = settings.webhooks.max_bytes, settings.github.bot_login, settings.protocol

    async def receive(request: Request) -> Response:
        event = request.headers.get("x-github-event", "")
        guid = request.headers.get("x-github-delivery", "")
        if not event or not guid:
            return _says(400, "missing header: X-GitHub-Event and X-GitHub-Delivery name a delivery")
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            # Else every delivery would be ignored as unreadable, and nobody would notice.
            return _says(415, "sent as a form: set the content type of the App's webhook to application/json")
        try:
            body = await _read_body(request, limit)
        except ClientDisconnect:
            return _says(400, "the sender hung up")
        if body is None:
            return _says(413, f"larger than {limit} bytes")
        if not signature_is_good(secret, body, request.headers.get("x-hub-signature-256", "")):
            return _says(401, "X-Hub-Signature-256 does not fit the body: is the App's webhook secret the one in the settings?")
        found = read_delivery(event, guid, body, bot_login=bot_login, protocol=protocol)
        if isinstance(found, Ignored):
            return JSONResponse({"ignored": found.reason})
        try:
            async with asyncio.timeout(ACCEPT_WITHIN):
                await accept(found)
        except TryAgain as later:
            return _says(503, later.message)
        except TimeoutError:
            return _says(503, f"Temporal did not accept it within {ACCEPT_WITHIN:g} s")
        return JSONResponse({"accepted": found.kind}, status_code=202)

    return Starlette(
        routes=[Route(WEBHOOK_PATH, _told(receive), methods=["POST"]), Route(HEALTH_PATH, _health(healthy), methods=["GET"])],
    )


Endpoint = Callable[[Request], Awaitable[Response]]


def _told(receive: Endpoint) -> Endpoint:
    """GitHub alone sees the answers, and somebody who runs this wants to know of them too."""

    async def telling(request: Request) -> Response:
        answer = await receive(request)
        if answer.status_code != 202:
            level = logging.INFO if answer.status_code == 200 else logging.WARNING
            event, guid = (_printable(request.headers.get(name, "")) for name in ("x-github-event", "x-github-delivery"))
            log.log(level, "webhook %s %s: %d %s", event, guid, answer.status_code, bytes(answer.body).decode())
        return answer

    return telling


def _health(healthy: Health) -> Endpoint:
    async def health(_request: Request) -> Response:
        return JSONResponse({"ok": True}) if await healthy() else _says(503, "Temporal does not answer")

    return health


def signature_is_good(secret: bytes, body: bytes, header: str) -> bool:
    """header: X-Hub-Signature-256, "sha256=<64 hex digits>". SHA-1 signatures are not looked at. Takes the same time for each wrong one."""
    wanted = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), header.encode("latin-1", "replace"))


async def _read_body(request: Request, limit: int) -> bytes | None:
    """The raw body; None once it is known to pass limit bytes. Content-Length is only a promise, so the stream is counted too."""
    promised = request.headers.get("content-length", "")
    if promised.isdigit() and int(promised) > limit:
        return None
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _printable(header: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in header[:100])


def _says(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=status)


# ── To Temporal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def temporal_acceptor(client: Client, timing: Timing) -> Accept:
    """Signal-with-start: whoever sleeps is woken, whoever does not exist is started, and Temporal has it on disk before this returns.

    timing: given to each workflow that is started here.
    """

    async def accept(delivery: Delivery) -> None:
        try:
            if isinstance(delivery, BaseMoved):
                await start_sweep(client, SweepOrder(repository=delivery.repository, base=delivery.branch), delivery)
            elif isinstance(delivery, (Woke, Rerequested)):
                await _wake(client, delivery, timing)
            else:
                assert_never(delivery)
        except RPCError as wrong:
            raise TryAgain(f"Temporal did not accept {delivery.kind}: {wrong.message} ({wrong.status.name})") from wrong

    return accept


def temporal_health(client: Client) -> Health:
    async def healthy() -> bool:
        try:
            return await client.service_client.check_health(timeout=timedelta(seconds=2))
        except RPCError:
            return False

    return healthy


class Doorbell:
    """wake_pull_request: one pull request's workflow rings at another's."""

    def __init__(self, client: Client, timing: Timing) -> None:
        self._accept = temporal_acceptor(client, timing)

    @activity.defn
    async def wake_pull_request(self, message: Woke) -> None:
        await self._accept(message)


PASSING: Final = (
    "issue_comment.",
    "pull_request_review.",
    "pull_request.labeled",
    "pull_request.unlabeled",
    "round",
    PUSH_TO_BASE,
)
"""What cannot make a pull request that has ended with its verdict worth another story (DESIGN §6)."""


async def _wake(client: Client, message: Woke | Rerequested, timing: Timing) -> None:
    ref = message.ref
    if isinstance(message, Woke) and message.reason.startswith(PASSING) and await _told_or_ended(client, message):
        return
    await client.start_workflow(
        "PullRequest",
        Story(ref=ref, timing=timing),
        id=addresses.pull_request(ref),
        task_queue=addresses.CONTROL,
        start_signal="hear",
        start_signal_args=[message],
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(addresses.REPOSITORY, ref.repository),
                SearchAttributePair(addresses.PULL_REQUEST, str(ref)),
            ]
        ),
        rpc_timeout=timedelta(seconds=ACCEPT_WITHIN),
    )


async def _told_or_ended(client: Client, message: Woke) -> bool:
    """Whether the story heard it, or has ended in good order. One that was never begun (a lost delivery) or broke off is begun.

    After a push to the base only one that broke off: Temporal forgets what ended long ago, and nobody wants a story for each open pull
    request after each merge. Where a listing says what the pull request shows now, good order means that the story ended knowing just that.
    """
    handle = client.get_workflow_handle(addresses.pull_request(message.ref))
    patience = timedelta(seconds=ACCEPT_WITHIN)
    try:
        await handle.signal("hear", message, rpc_timeout=patience)
    except RPCError as gone:
        if gone.status is not RPCStatusCode.NOT_FOUND:
            raise
    else:
        return True
    try:
        described = await handle.describe(rpc_timeout=patience)
    except RPCError as unknown:
        if unknown.status is not RPCStatusCode.NOT_FOUND:
            raise
        return message.reason == PUSH_TO_BASE
    if described.status is not WorkflowExecutionStatus.COMPLETED:
        return False
    return not message.shows or message.shows == await described.memo_value(addresses.SHOWS, "")


async def start_sweep(client: Client, order: SweepOrder, moved: BaseMoved | None = None) -> None:
    """One sweep of a branch at a time; whoever asks meanwhile makes it go round once more. Errors: RPCError."""
    await client.start_workflow(
        "Sweep",
        order,
        id=addresses.sweep(order.repository, order.base),
        task_queue=addresses.CONTROL,
        start_signal="again",
        start_signal_args=[moved or BaseMoved(repository=order.repository, branch=order.base, after="")],
        search_attributes=TypedSearchAttributes([SearchAttributePair(addresses.REPOSITORY, order.repository)]),
        rpc_timeout=timedelta(seconds=ACCEPT_WITHIN),
    )
