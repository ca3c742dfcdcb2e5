"""Webhooks on their way: signed, sent once, remembered, never sent again unless somebody asks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
import threading
import time
import uuid
from datetime import UTC, datetime

import httpx

from tests.fakes.github.chaos import Chaos
from tests.fakes.github.objects import App, Delivery

TIME_OUT = 10.0
"""Seconds that GitHub gives a receiver to answer."""
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP to this machine: reading the list of authorities would cost each 20 ms."""
USER_AGENT = "GitHub-Hookshot/stand-in"


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Outbox:
    """Filled from any thread; emptied by the server's event loop once that is attached."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._waiting: list[tuple[Delivery, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self.deliveries: list[Delivery] = []
        """Every attempt that GitHub would list, oldest first. Lost ones are not here."""
        self.lost: list[Delivery] = []

    def post(
        self,
        *,
        app: App,
        event: str,
        action: str | None,
        body: bytes,
        installation_id: int | None,
        repository_id: int | None,
        delivery_id: int,
        at: datetime,
        guid: str | None = None,
        redelivery: bool = False,
    ) -> Delivery | None:
        """Hand one webhook to the post. Nothing happens for an App without a webhook URL."""
        if app.webhook_url is None:
            return None
        guid = guid or str(uuid.uuid4())
        delivery = Delivery(delivery_id, guid, app, event, action, body, at, installation_id, repository_id, redelivery)
        fate = self._chaos.fate()
        with self._changed:
            if fate.lost:
                self.lost.append(delivery)
                return delivery
            self.deliveries.append(delivery)
            if fate.dropped:
                delivery.delivered_at, delivery.status, delivery.status_code = at, "failed to connect to host", 502
                return delivery
            for copy, wait in enumerate(fate.delays):
                self._under_way += 1
                twin = delivery if copy == 0 else _copy_of(delivery)
                self._waiting.append((twin, wait))
        self._wake()
        return delivery

    def resend(self, delivery: Delivery, new_id: int, at: datetime) -> None:
        """Somebody asked for a redelivery: the same body under the same GUID, as a new attempt."""
        again = Delivery(
            new_id,
            delivery.guid,
            delivery.app,
            delivery.event,
            delivery.action,
            delivery.body,
            at,
            delivery.installation_id,
            delivery.repository_id,
            redelivery=True,
        )
        with self._changed:
            self.deliveries.append(again)
            self._under_way += 1
            self._waiting.append((again, 0.0))
        self._wake()

    def wait_until_empty(self, timeout: float = 15.0) -> bool:
        """Block until nothing is under way; False when that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._under_way == 0, timeout)

    # --- the server's side ---

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._client = httpx.AsyncClient(timeout=TIME_OUT, trust_env=False, verify=NO_AUTHORITIES)
        self._loop = loop
        self._wake()

    async def detach(self) -> None:
        self._loop = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client:
            await self._client.aclose()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._start_all)

    def _start_all(self) -> None:
        with self._changed:
            waiting, self._waiting = self._waiting, []
        for delivery, wait in waiting:
            task = asyncio.get_running_loop().create_task(self._carry(delivery, wait))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, delivery: Delivery, wait: float) -> None:
        try:
            if wait:
                await asyncio.sleep(wait)
            await self._send(delivery)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    async def _send(self, delivery: Delivery) -> None:
        url = delivery.app.webhook_url
        if self._client is None or url is None:
            return
        delivery.request_headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(delivery.app.id),
            "X-GitHub-Hook-Installation-Target-ID": str(delivery.app.id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
            "X-Hub-Signature-256": signature(delivery.app.webhook_secret, delivery.body),
        }
        started = time.monotonic()
        try:
            async with asyncio.timeout(TIME_OUT):
                answer = await self._client.post(url, content=delivery.body, headers=delivery.request_headers)
        except (TimeoutError, httpx.TimeoutException):
            delivery.status, delivery.status_code = "timed out", 504
        except httpx.HTTPError as error:
            delivery.status, delivery.status_code = f"failed to connect to host: {type(error).__name__}", 502
        else:
            delivery.status_code = answer.status_code
            delivery.status = "OK" if answer.is_success else f"Invalid HTTP Response: {answer.status_code}"
            delivery.response_headers, delivery.response_body = dict(answer.headers), answer.text[:10_000]
        delivery.duration = round(time.monotonic() - started, 3)
        delivery.delivered_at = datetime.now(UTC)


def _copy_of(delivery: Delivery) -> Delivery:
    """The second arrival of a duplicated webhook: same GUID, and no line of its own in the list of deliveries."""
    return Delivery(
        delivery.id,
        delivery.guid,
        delivery.app,
        delivery.event,
        delivery.action,
        delivery.body,
        delivery.created_at,
        delivery.installation_id,
        delivery.repository_id,
    )
