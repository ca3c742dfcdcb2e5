"""The door of the REST API: identity, permission, limits, chaos, ETags and the log around each operation."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from tests.fakes.github.access import Actor, Anonymous, AppActor, InstallationActor, identify, require
from tests.fakes.github.chaos import Failure
from tests.fakes.github.graphql import GRAPHQL
from tests.fakes.github.objects import JSON, Refused, RequestRecord
from tests.fakes.github.rest import OPERATIONS, Answer, Call, Operation
from tests.fakes.github.world import World

DOCUMENTATION = "https://docs.github.com/rest"
HOUR = 3600
VERSION_WITHOUT_OLD_FIELDS = "2026-03-10"
"""From this API version on GitHub leaves out these fields; webhooks still carry them."""
OLD_FIELDS = frozenset({"merge_commit_sha", "assignee", "has_downloads"})


class ConnectionCut(Exception):  # noqa: N818  (not an error: it is what was asked for)
    """Chaos wants the client to see its connection reset."""


@dataclass
class Reading:
    """What is known about a request before it is carried out."""

    method: str
    path: str
    query: dict[str, str]
    raw_body: bytes
    headers: dict[str, str]
    body: Any = None


@dataclass
class Spent:
    """What one token used up in the present hour, and when it last created content."""

    used: int = 0
    reset: float = 0.0
    content: collections.deque[float] = field(default_factory=collections.deque)


class Gateway:
    def __init__(self, world: World) -> None:
        self._world = world
        self._spent: dict[str, Spent] = {}

    async def answer(self, request: Request, path: str) -> Response:
        """Answer one request; raises `ConnectionCut` where chaos says so. `path` is relative to the API's root."""
        reading = Reading(
            request.method,
            path,
            dict(parse_qsl(request.url.query, keep_blank_values=True)),
            await request.body(),
            {name.lower(): value for name, value in request.headers.items()},
        )
        found = _find(reading)
        name = found[0].id if found else "unknown"
        failure = self._world.chaos.failure_for(name) if found else None
        before, after = self._world.chaos.latencies()
        await asyncio.sleep(before)
        started, actor = time.monotonic(), "nobody"
        if failure and not failure.after_effect:
            answer = None
        else:
            answer, actor = await asyncio.to_thread(self._carry_out, reading, found)
        await asyncio.sleep(after)
        if failure:
            answer = None if failure.status == 0 else _failed(failure)
        status = 0 if answer is None else answer.status
        self._world.requests.append(
            RequestRecord(
                at=self._world.exactly_now(),
                method=reading.method,
                path=path,
                operation=name,
                status=status,
                actor=actor,
                seconds=time.monotonic() - started,
                chaos=str(failure) if failure else None,
                body=reading.body if isinstance(reading.body, dict) else None,
            )
        )
        if answer is None:
            raise ConnectionCut
        return self._render(reading, answer)

    def _carry_out(self, reading: Reading, found: tuple[Operation, dict[str, str]] | None) -> tuple[Answer, str]:
        """The work itself, under the world's lock. Never raises: a refusal is an answer."""
        actor: Actor = Anonymous()
        with self._world.lock:
            try:
                as_app = found is not None and found[0].as_app
                actor = identify(self._world, reading.headers.get("authorization"), jwt_expected=as_app)
                answer = self._perform(actor, reading, found)
            except Refused as refusal:
                answer = _refusal(refusal)
        return answer, actor.name

    def _perform(self, actor: Actor, reading: Reading, found: tuple[Operation, dict[str, str]] | None) -> Answer:
        if found is None:
            raise Refused(404, "Not Found")
        operation, parameters = found
        moved = self._world.renamed.get(f"{parameters.get('owner')}/{parameters.get('repo')}".lower())
        if moved is not None:
            return _moved(reading, parameters, moved.full_name, self._world.api_url)
        reading.body = _parse(reading.raw_body)
        call = Call(
            world=self._world,
            actor=actor,
            url=f"{self._world.api_url}{reading.path}",
            parameters=parameters,
            query=reading.query,
            body=reading.body,
            accept=reading.headers.get("accept", ""),
        )
        limits = self._spend(actor, operation)
        self._admit(call, operation)
        answer = operation.handler(call)
        answer.headers |= limits
        return answer

    def _admit(self, call: Call, operation: Operation) -> None:
        if operation.as_app:
            if not isinstance(call.actor, AppActor):
                raise Refused(401, "A JSON web token could not be decoded")
            return
        repository = call.repository if "repo" in call.parameters else None
        require(self._world, call.actor, repository, operation.needs, operation.role)

    # --- limits ---

    def _spend(self, actor: Actor, operation: Operation) -> dict[str, str]:
        """Count a request against its token; refuses above the hourly limit or the pace for new content."""
        key = actor.token.value if isinstance(actor, InstallationActor) else actor.name
        now = time.time()
        spent = self._spent.setdefault(key, Spent())
        if now >= spent.reset:
            spent.used, spent.reset = 0, now + HOUR
        headers = self._limit_headers(spent)
        if spent.used >= self._world.rate_limit:
            raise RateLimited(403, f"API rate limit exceeded for {actor.name}.", headers)
        spent.used += 1
        if operation.creates_content and isinstance(actor, InstallationActor):
            self._spend_content(spent, now, headers)
        return self._limit_headers(spent)

    def _spend_content(self, spent: Spent, now: float, headers: dict[str, str]) -> None:
        while spent.content and spent.content[0] < now - HOUR:
            spent.content.popleft()
        lately = sum(1 for moment in spent.content if moment > now - 60)
        if lately >= self._world.content_per_minute or len(spent.content) >= self._world.content_per_hour:
            raise RateLimited(403, SECONDARY, headers | {"Retry-After": "60"})
        spent.content.append(now)

    def _limit_headers(self, spent: Spent) -> dict[str, str]:
        limit = self._world.rate_limit
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(limit - spent.used, 0)),
            "X-RateLimit-Used": str(spent.used),
            "X-RateLimit-Reset": str(int(spent.reset)),
            "X-RateLimit-Resource": "core",
        }

    # --- the answer on the wire ---

    def _render(self, reading: Reading, answer: Answer) -> Response:
        moment: datetime = self._world.now()
        headers = {
            "Date": format_datetime(moment, usegmt=True),
            "Server": "github.com",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": reading.headers.get("x-github-api-version", "2022-11-28"),
            "X-GitHub-Request-Id": f"{self._world.next_id():X}",
        } | answer.headers
        if answer.body is None:
            return Response(status_code=answer.status, headers=headers)
        if isinstance(answer.body, bytes):
            content = answer.body
        else:
            if reading.headers.get("x-github-api-version", "") >= VERSION_WITHOUT_OLD_FIELDS:
                answer.body = _without_old_fields(answer.body)
            content = json.dumps(answer.body, separators=(",", ":"), ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        if reading.method == "GET" and answer.status == 200:
            etag = f'W/"{hashlib.sha256(content).hexdigest()}"'
            headers |= {
                "ETag": etag,
                "Cache-Control": "private, max-age=60, s-maxage=60",
                "Vary": "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, X-Requested-With",
            }
            if etag in [tag.strip() for tag in reading.headers.get("if-none-match", "").split(",")]:
                headers.pop("Content-Type", None)
                return Response(status_code=304, headers=headers)
        return Response(content, status_code=answer.status, headers=headers)


SECONDARY = (
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry your"
    " request again later."
)


class RateLimited(Refused):
    def __init__(self, status: int, message: str, headers: dict[str, str]) -> None:
        super().__init__(status, message)
        self.headers = headers


def _find(reading: Reading) -> tuple[Operation, dict[str, str]] | None:
    for operation in (*OPERATIONS, GRAPHQL):
        if operation.method == reading.method:
            match = operation.pattern.fullmatch(reading.path)
            if match:
                return operation, match.groupdict()
    return None


def _parse(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None


def _without_old_fields(body: Any) -> Any:
    if isinstance(body, dict):
        return {key: _without_old_fields(value) for key, value in body.items() if key not in OLD_FIELDS}
    return [_without_old_fields(item) for item in body] if isinstance(body, list) else body


def _moved(reading: Reading, parameters: dict[str, str], to: str, root: str) -> Answer:
    """Where a renamed repository is now. A client may not turn a POST into a GET on the way there."""
    old = f"/repos/{parameters['owner']}/{parameters['repo']}"
    path = reading.path.replace(old, f"/repos/{to}", 1)
    location = f"{root}{path}" + (f"?{urlencode(reading.query)}" if reading.query else "")
    return Answer({"message": "Moved Permanently", "url": location}, 301 if reading.method == "GET" else 307, {"Location": location})


def _refusal(refusal: Refused) -> Answer:
    body: JSON = {
        "message": refusal.message,
        "documentation_url": DOCUMENTATION,
        "status": str(refusal.status),
    }
    if refusal.errors is not None:
        body["errors"] = refusal.errors
    headers = refusal.headers if isinstance(refusal, RateLimited) else {}
    return Answer(body, refusal.status, dict(headers))


def _failed(failure: Failure) -> Answer:
    """What GitHub answers when it has no time for us."""
    headers = {"Retry-After": str(failure.retry_after)} if failure.retry_after is not None else {}
    message = {
        403: "Resource not accessible by integration",
        429: "Too Many Requests",
        500: "Server Error",
        502: "Server Error",
        503: "Service Unavailable",
    }.get(failure.status, "Error")
    if failure.kind == "secondary":
        message = SECONDARY
    elif failure.kind == "primary":
        message = "API rate limit exceeded for installation."
        headers |= {
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(time.time()) + (failure.retry_after or 60)),
        }
    return Answer({"message": message, "documentation_url": DOCUMENTATION}, failure.status, headers)
