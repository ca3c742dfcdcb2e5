"""The one door to GitHub's REST API: as the App's installation, with errors sorted by what to do.

githubkit carries the App's signature (JWT), connections and throttling; answers are read by small models of our own. Its generated
models are never imported (loading all of them: 6.4 s and 316 MB; this module: about half a second and 50 MB).
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
import jwt
from githubkit import AppAuthStrategy, GitHub, UnauthAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException, RequestFailed, RequestTimeout
from pydantic import BaseModel, ConfigDict, ValidationError

from activities.errors import NeedsHuman, OurBug, TryAgain
from activities.settings import GitHubSettings, read_secret

API_VERSION: Final = "2022-11-28"
PER_PAGE: Final = 100
PAGES: Final = 30
"""At most this many pages of one list: 3,000 comments, reviews, files or open pull requests."""
SECONDARY_LIMIT_WAIT: Final = timedelta(seconds=60)
"""GitHub asks for at least a minute where it names no time."""
LONGEST_LIMIT: Final = 3_700.0
"""Seconds for which a limit is believed without asking again: GitHub counts by the hour."""
LOST_ANSWER_WAIT: Final = timedelta(seconds=5)
"""Before a write whose answer was lost is looked for: it may still be landing."""

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Shown(BaseModel):
    """What GitHub shows of a thing, as far as it is used: the rest is left unread."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Installation(Shown):
    id: int


class _Issued(Shown):
    token: str
    expires_at: datetime


class _Extensions(Shown):
    code: str = ""


class _GraphQLError(Shown):
    """extensions.code: what is wrong with the question. type: what is wrong with the answer."""

    message: str = ""
    type: str = ""
    extensions: _Extensions = _Extensions()


class _GraphQL(Shown):
    data: dict[str, Any] | None = None
    errors: tuple[_GraphQLError, ...] = ()


class _Owner(Shown):
    login: str
    type: str = "User"


class _App(Shown):
    """html_url: its page, from where it is installed. owner: None for an Enterprise's."""

    id: int
    slug: str
    html_url: str = ""
    owner: _Owner | None = None


class _Message(Shown):
    message: str = ""
    errors: list[Any] | None = None


class TooLong(NeedsHuman):
    """A list has more than PAGES pages. For who can do with a part of it."""


@dataclass(frozen=True)
class Answer:
    """One answer. method and path are kept for what errors say."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def date(self) -> datetime:
        """GitHub's clock; this machine's where a proxy took the header away."""
        try:
            return parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return datetime.now(UTC)

    def json(self) -> Any:
        """Errors: TryAgain for anything but JSON (a proxy's page, a cut answer)."""
        try:
            return json.loads(self.content)
        except ValueError as wrong:
            raise TryAgain(f"The answer to {self.method} {self.path} is not JSON: something between here and GitHub answered.") from wrong

    def read(self, model: type[M]) -> M:
        """Errors: OurBug when the answer lacks what we need."""
        return read_as(model, self.json(), f"{self.method} {self.path}")

    @property
    def message(self) -> str:
        """GitHub's own words about an error, "" where it has none."""
        try:
            said = _Message.model_validate_json(self.content)
        except ValidationError:
            return ""
        details = "; ".join(_words(one) for one in said.errors or [])
        return f"{said.message} ({details})" if details else said.message

    @property
    def next_url(self) -> str | None:
        """The next page by the Link header."""
        for part in self.headers.get("link", "").split(","):
            url, _, rest = part.strip().partition(">")
            if 'rel="next"' in rest and url.startswith("<"):
                return url[1:]
        return None


@dataclass
class _Token:
    """good_until: on this machine's monotonic clock, so that a wrong wall clock changes nothing."""

    value: str
    good_until: float
    installation: int


class GitHubClient:
    """One per worker. Enter it once, in the task that then runs the Workers: githubkit keeps its connections in a context variable, and
    only tasks started from there share them.
    """

    def __init__(self, settings: GitHubSettings, *, seal_key: str = "") -> None:
        """seal_key: for seals that only this skeebot can make (comments.py); without one they last as long as the App's private key.

        Errors: NeedsHuman when the private key cannot be read, or is none.
        """
        self.settings = settings
        self._private_key = read_secret(settings.private_key_file, "the GitHub App's private key")
        _refuse_bad_key(self._private_key, settings)
        self.seal_key = seal_key or self._private_key
        self._app: _App | None = None
        options: dict[str, Any] = {
            "base_url": settings.api_url,
            "user_agent": f"{settings.app_slug} (skeebot)",
            "timeout": settings.timeout_seconds,
            # It would sleep inside the call and repeat POSTs; Temporal retries, and checks first what landed.
            "auto_retry": False,
            # Revalidated answers are kept for ever and once per token; a worker lives for months.
            "http_cache": False,
        }
        # Each its own cache: the default one is shared by the process, and its keys do not name the server.
        self._as_app = GitHub(AppAuthStrategy(settings.app_id, self._private_key), cache_strategy=MemCacheStrategy(), **options)
        # The installation's token is set by hand, since githubkit chooses App or installation by the look of the path
        # (a branch named "installation" looks like an App's route) and asks for one token per request that comes at the same time.
        self._plain = GitHub(UnauthAuthStrategy(), cache_strategy=MemCacheStrategy(), **options)
        self._installations: dict[str, int] = {}
        self._tokens: dict[int, _Token] = {}
        self._limited_until: dict[int, float] = {}
        self._renewing = asyncio.Lock()
        self._clock = datetime.now(UTC)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._as_app)
        await self._open.enter_async_context(self._plain)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def clock(self) -> datetime:
        """GitHub's clock, as its last answer told it."""
        return self._clock

    async def verify_app(self) -> None:
        """Whether GitHub knows the App by the settings' id and slug: by its slug we know our own comments, labels and checks again.

        Where GitHub does not answer now, nothing is said: a runner's migrations want to be watched meanwhile. Errors: NeedsHuman naming
        both, and those of call_as_app for the key.
        """
        try:
            app = (await self.call_as_app("GET", "/app")).read(_App)
        except TryAgain as later:
            logging.getLogger("skeebot").warning("the App was not verified: %s", later.message)
            return
        self._app = app
        asked = self.settings
        if app.slug != asked.app_slug:
            raise NeedsHuman(
                f'GitHub calls the App {app.id} "{app.slug}", the settings "{asked.app_slug}": skeebot would not know its own comments and'
                f' checks again. Set github.app_slug = "{app.slug}".'
            )
        if app.id != asked.app_id:
            raise NeedsHuman(f"GitHub's id of the App {app.slug} is {app.id}, the settings' {asked.app_id}. Set github.app_id = {app.id}.")

    # ── Requests ──

    async def call(
        self,
        method: str,
        path: str,
        repository: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """One request with the token of the repository's installation.

        path: below the API's base, quoted. expected: error statuses that the caller understands; they come back as answers.
        Errors: TryAgain (transport, 5xx, limits), NeedsHuman (permissions, not installed, not there), OurBug (GitHub does not understand).
        """
        token = await self._token(repository)
        self._leave_alone(token, method, path)
        answer = await self._send(method, path, token.value, params=params, body=body)
        if answer.status == 401:
            # Expired early, revoked, or the App was installed anew: once more with a fresh one.
            await self._forget(repository, token)
            token = await self._token(repository)
            answer = await self._send(method, path, token.value, params=params, body=body)
        if _is_limit(answer) and answer.status != 422:
            self._limited_until[token.installation] = time.monotonic() + min(_wait_of_limit(answer).total_seconds(), LONGEST_LIMIT)
        if answer.status < 400 or (answer.status in expected and not _is_limit(answer)):
            return answer
        raise self._error(answer, repository)

    def _leave_alone(self, token: _Token, method: str, path: str) -> None:
        """GitHub bans who goes on asking while it is limited, and hundreds of stories share one installation. Errors: TryAgain."""
        left = self._limited_until.get(token.installation, 0.0) - time.monotonic()
        if left > 0:
            raise TryAgain(
                f"GitHub's rate limit holds {method} {_short(path)} back for another {left:.0f} s; it was not asked.",
                after=timedelta(seconds=left),
            )

    async def get(self, path: str, repository: str, model: type[M], *, params: Mapping[str, str | int] | None = None) -> M:
        return (await self.call("GET", path, repository, params=params)).read(model)

    async def graphql(self, question: str, repository: str, model: type[M], **variables: Any) -> M:
        """For what REST does not tell. What is not found is None in the answer. Errors: as call."""
        answer = await self.call("POST", self._graphql_url, repository, body={"query": question, "variables": variables})
        said = answer.read(_GraphQL)
        if said.data is not None:
            return read_as(model, said.data, "POST graphql")
        words = "; ".join(one.message for one in said.errors) or "no data"
        if any(one.extensions.code for one in said.errors):
            raise OurBug(f"GitHub does not understand a question of ours in GraphQL: {words}.")
        wait = _until_reset(answer) if any(one.type == "RATE_LIMITED" for one in said.errors) else None
        raise TryAgain(f"GitHub did not answer a question in GraphQL: {words}.", after=wait)

    async def pages(
        self,
        path: str,
        repository: str,
        model: type[M],
        *,
        params: Mapping[str, str | int] | None = None,
        key: str | None = None,
        expected: Collection[int] = (),
    ) -> AsyncIterator[M]:
        """Every item of a list, page after page by the Link header. key: where the list is inside an object.

        An expected error status ends it. Errors: as call; TooLong past PAGES pages, since half a list is no truth.
        """

        def ask(address: str, asked: Mapping[str, str | int] | None) -> Awaitable[Answer]:
            return self.call("GET", address, repository, params=asked, expected=expected)

        async for item in self._every(ask, path, model, params=params, key=key):
            yield item

    async def call_as_app(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, expected: Collection[int] = ()
    ) -> Answer:
        """One request as the App itself, about no repository. Errors: as call."""
        answer = await self._send(method, path, None, params=params)
        if answer.status < 400 or (answer.status in expected and not _is_limit(answer)):
            return answer
        raise self._error(answer, "any repository", as_app=True)

    async def pages_as_app(self, path: str, model: type[M], *, params: Mapping[str, str | int] | None = None) -> AsyncIterator[M]:
        """Every item of a list of the App's own. Errors: as pages."""

        def ask(address: str, asked: Mapping[str, str | int] | None) -> Awaitable[Answer]:
            return self.call_as_app("GET", address, params=asked)

        async for item in self._every(ask, path, model, params=params):
            yield item

    async def _every(
        self,
        ask: Callable[[str, Mapping[str, str | int] | None], Awaitable[Answer]],
        path: str,
        model: type[M],
        *,
        params: Mapping[str, str | int] | None = None,
        key: str | None = None,
    ) -> AsyncIterator[M]:
        asked: Mapping[str, str | int] | None = {"per_page": PER_PAGE, **(params or {})}
        address = path
        for _ in range(PAGES):
            answer = await ask(address, asked)
            if answer.status >= 400:
                return
            found = answer.json()
            items = found.get(key) if key is not None and isinstance(found, dict) else found
            if not isinstance(items, list):
                raise OurBug(f"The answer to GET {path} holds no list. Please report it with GitHub's version.")
            for item in items:
                yield read_as(model, item, f"GET {path}")
            if answer.next_url is None:
                return
            address, asked = self._same_server(answer.next_url), None
        raise TooLong(f"GET {path} has more than {PAGES * PER_PAGE} entries, more than is read. Close or clean up what is not needed.")

    async def installation_token(self, repository: str) -> str:
        """A token for git over HTTPS: user `x-access-token`, this as password. Good for at least a minute."""
        return (await self._token(repository)).value

    @property
    def _graphql_url(self) -> str:
        """Beside REST's root on an Enterprise Server (/api/v3), below it on github.com."""
        root = self.settings.api_url.rstrip("/")
        return f"{root.removesuffix('/v3') if root.endswith('/api/v3') else root}/graphql"

    def _same_server(self, url: str) -> str:
        """A Link may not lead our token to another server."""
        base = httpx.URL(self.settings.api_url)
        there = httpx.URL(url)
        if (there.scheme, there.host, there.port) != (base.scheme, base.host, base.port):
            raise NeedsHuman(f"GitHub's Link header leads to {there.host} instead of {base.host}: correct github.api_url in the settings.")
        return url

    async def _send(
        self,
        method: str,
        path: str,
        token: str | None,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """token: None to speak as the App itself. Errors: TryAgain when no answer came."""
        github = self._as_app if token is None else self._plain
        headers = {"X-GitHub-Api-Version": API_VERSION}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            response = await github.arequest(method, path, params=dict(params) if params else None, json=body, headers=headers)
            raw = response.raw_response
        except RequestFailed as refused:
            raw = refused.response.raw_response
        except RequestTimeout as late:
            raise TryAgain(
                f"GitHub did not answer {method} {_short(path)} within {self.settings.timeout_seconds:g} s.", after=_after_loss(method)
            ) from late
        except GitHubException as broken:
            reason = getattr(broken, "exc", broken)
            raise TryAgain(
                f"GitHub could not be reached for {method} {_short(path)}: {type(reason).__name__} {reason}", after=_after_loss(method)
            ) from broken
        answer = Answer(method=method, path=_short(path), status=raw.status_code, headers=raw.headers, content=raw.content)
        self._clock = answer.date
        return answer

    # ── Tokens ──

    async def _token(self, repository: str) -> _Token:
        """One renewal at a time: twenty checks at once need one token, not twenty."""
        cached = self._cached(repository)
        if cached is not None:
            return cached
        async with self._renewing:
            cached = self._cached(repository)
            if cached is not None:
                return cached
            installation = self._installations.get(repository.casefold())
            if installation is None:
                installation = await self._find_installation(repository)
            asked_at = time.monotonic()
            answer = await self._send("POST", f"/app/installations/{installation}/access_tokens", None)
            if answer.status == 404:
                self._installations.pop(repository.casefold(), None)
            if answer.status >= 400:
                raise self._error(answer, repository, as_app=True)
            issued = answer.read(_Issued)
            lifetime = (issued.expires_at - answer.date).total_seconds()
            token = _Token(issued.token, asked_at + max(lifetime - 60, lifetime / 2), installation)
            self._tokens[installation] = token
            return token

    def _cached(self, repository: str) -> _Token | None:
        installation = self._installations.get(repository.casefold())
        token = self._tokens.get(installation) if installation is not None else None
        return token if token is not None and token.good_until > time.monotonic() else None

    async def _find_installation(self, repository: str) -> int:
        answer = await self._send("GET", f"/repos/{quote(repository)}/installation", None)
        if answer.status >= 400:
            raise self._error(answer, repository, as_app=True)
        found = answer.read(_Installation).id
        self._installations[repository.casefold()] = found
        return found

    async def _forget(self, repository: str, refused: _Token) -> None:
        """Drop a token that was refused, unless somebody renewed it meanwhile."""
        async with self._renewing:
            installation = self._installations.get(repository.casefold())
            if installation is not None and self._tokens.get(installation) is refused:
                del self._tokens[installation]
                del self._installations[repository.casefold()]

    # ── Errors ──

    def _error(self, answer: Answer, repository: str, *, as_app: bool = False) -> TryAgain | NeedsHuman | OurBug:
        """Sorted by what to do; the text says what happened, to what, and what to do next."""
        what = f"{answer.method} {answer.path}"
        said = f": {answer.message}" if answer.message else ""
        status = answer.status
        if status >= 500:
            return TryAgain(f"GitHub answered {what} with {status}{said}.", after=_retry_after(answer))
        if _is_limit(answer):
            wait = _wait_of_limit(answer)
            return TryAgain(f"GitHub's rate limit holds {what} back for {wait.total_seconds():.0f} s{said}.", after=wait)
        if as_app:
            return self._error_as_app(answer, repository, what, said)
        if status == 401:
            # Fresh tokens are now and then refused for a moment, so this is not a person's business yet.
            return TryAgain(f"GitHub refused a fresh installation token for {what}{said}.", after=LOST_ANSWER_WAIT)
        refused = answer.message.casefold()
        if status == 403 and "archived" in refused:
            return NeedsHuman(f"{repository} is archived, so {what} is refused{said}. Unarchive it, or close its open pull requests.")
        if status == 403 and "ip allow list" in refused:
            return NeedsHuman(
                f"{repository.partition('/')[0]} lets no requests in from this machine's address ({what}{said}). An owner adds it to the"
                " organisation's IP allow list."
            )
        if status == 403:
            return NeedsHuman(
                f"GitHub does not let the App do {what} on {repository}{said}. Give the App the permission {_permission(answer)} in its"
                f" settings ({self._app_settings_url}), then let an owner of {repository.partition('/')[0]} accept it."
            )
        if status in {404, 410}:
            return NeedsHuman(
                f"GitHub knows nothing under {what}{said}. Either it is gone, or the App may not see it: check that the App is installed on"
                f" {repository} and holds the permission {_permission(answer)}."
            )
        if status in {408, 409, 423, 425}:
            return TryAgain(f"GitHub answered {what} with {status}{said}.")
        return OurBug(f"GitHub refused {what} on {repository} with {status}{said}.")

    def _error_as_app(self, answer: Answer, repository: str, what: str, said: str) -> NeedsHuman | OurBug | TryAgain:
        """Of requests that the App makes as itself, to get at its installation."""
        if answer.status == 401:
            return NeedsHuman(
                f"GitHub does not know the App by its signature ({what}{said}). Check github.app_id ({self.settings.app_id}), that"
                f" {self.settings.private_key_file} holds a private key of this App, and this machine's clock."
            )
        if answer.status == 403:
            return NeedsHuman(
                f"The App's installation for {repository} may not be used ({what}{said}). An owner of {repository.partition('/')[0]}"
                f" unsuspends it under Settings, GitHub Apps, {self.settings.app_slug}."
            )
        if answer.status in {404, 410}:
            return NeedsHuman(
                f"The App {self.settings.app_slug} is not installed on {repository} ({what}{said}). Install it at"
                f" {self._app_url} and choose this repository."
            )
        return OurBug(f"GitHub refused {what} with {answer.status}{said}.")

    @property
    def _app_url(self) -> str:
        """Where it is installed from; GitHub's own word where it was asked (an Enterprise Server has another path)."""
        return (self._app.html_url if self._app is not None else "") or f"{self.settings.html_url}/apps/{self.settings.app_slug}"

    @property
    def _app_settings_url(self) -> str:
        owner = self._app.owner if self._app is not None else None
        of = f"/organizations/{owner.login}" if owner is not None and owner.type == "Organization" else ""
        return f"{self.settings.html_url}{of}/settings/apps/{self.settings.app_slug}/permissions"


def _refuse_bad_key(pem: str, settings: GitHubSettings) -> None:
    """Else each request would fail as if GitHub were away. Errors: NeedsHuman."""
    try:
        jwt.encode({"iss": str(settings.app_id)}, pem, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError) as wrong:
        raise NeedsHuman(
            f"{settings.private_key_file} holds no RSA private key in PEM ({type(wrong).__name__}). Write the file into it that GitHub gave"
            " for the App (Settings, Developer settings, GitHub Apps, Private keys)."
        ) from wrong


def read_as(model: type[M], value: Any, what: str) -> M:
    """Errors: OurBug naming what is missing, when value does not hold what the model needs."""
    try:
        return model.model_validate(value)
    except ValidationError as wrong:
        lacks = ", ".join(sorted({".".join(str(part) for part in one["loc"]) or "everything" for one in wrong.errors()}))
        raise OurBug(f"GitHub's answer to {what} cannot be read; wrong or missing: {lacks}.") from wrong


def iso(moment: datetime) -> str:
    """As GitHub writes times: UTC, whole seconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ── Limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_limit(answer: Answer) -> bool:
    """429 always is one; a 403 may be one or a missing permission, and only its words or headers tell (a secondary limit has no header).
    Content that comes too fast is a 422 now and then.
    """
    if answer.status == 429:
        return True
    if answer.status == 422:
        return "submitted too quickly" in answer.message.casefold()
    if answer.status != 403:
        return False
    said = answer.message.casefold()
    return (
        "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining") == "0"
        or any(words in said for words in ("secondary rate", "rate limit exceeded", "abuse detection"))
    )


def _wait_of_limit(answer: Answer) -> timedelta:
    """How long GitHub wants to be left alone; the secondary limit at least a minute."""
    asked = _retry_after(answer)
    if asked is None and answer.headers.get("x-ratelimit-remaining") == "0":
        asked = _until_reset(answer)
    if asked is None or "secondary rate" in answer.message.casefold():
        return max(asked or SECONDARY_LIMIT_WAIT, SECONDARY_LIMIT_WAIT)
    return asked


def _retry_after(answer: Answer) -> timedelta | None:
    """In seconds or as a date, as HTTP allows; None where there is none."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdigit():
        return timedelta(seconds=min(int(text), 86_400))
    try:
        return max(parsedate_to_datetime(text).astimezone(UTC) - answer.date, timedelta(seconds=1)) if text else None
    except ValueError:
        return None


def _until_reset(answer: Answer) -> timedelta | None:
    """By GitHub's own clock, a second later than it says; at most its hour."""
    text = answer.headers.get("x-ratelimit-reset", "")
    if not text.isdigit():
        return None
    left = int(text) - answer.date.timestamp() + 1
    return timedelta(seconds=min(max(left, 1), 3_700))


def _after_loss(method: str) -> timedelta | None:
    return None if method == "GET" else LOST_ANSWER_WAIT


# ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_PERMISSIONS: Final = (
    ("/check-runs", "Checks: read and write"),
    ("/rules/", "Metadata: read"),
    ("/installation", "Metadata: read"),
    ("/teams/", "Members: read (organisation)"),
    ("/contents/", "Contents: read"),
    ("/branches/", "Contents: read"),
    ("/commits/", "Contents: read"),
    ("/labels", "Issues: read and write"),
    ("/issues/", "Issues and Pull requests: read and write"),
    ("/pulls", "Pull requests: read and write"),
)


def _permission(answer: Answer) -> str:
    """What GitHub itself names, else what the path needs by GitHub's reference."""
    named = answer.headers.get("x-accepted-github-permissions", "")
    if named:
        return " or ".join(f"“{one.strip().replace('=', ': ')}”" for one in named.split(";") if one.strip())
    return next((f"“{words}”" for part, words in _PERMISSIONS if part in answer.path), "that this needs")


def _short(path: str) -> str:
    """The path alone: queries are long and say nothing to a reader."""
    return httpx.URL(path).path


def _words(detail: Any) -> str:
    """One entry of GitHub's `errors` list."""
    if isinstance(detail, dict):
        said = detail.get("message")
        return str(said) if said else " ".join(str(detail[key]) for key in ("resource", "field", "code") if key in detail)
    return str(detail)


# ── Several at once ─────────────────────────────────────────────────────────────────────────────────────────────────


class Together:
    """Several reads at once. The first failure cancels the others and is raised as itself, so that Temporal sees its type."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    def start(self, read: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._group.create_task(read)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as several:
            first = several.exceptions[0]
            raise first from first.__cause__
