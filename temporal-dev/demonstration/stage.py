"""Everything that stands on the stage, started side by side, and what can be seen of it while the demo runs."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.narrate import Narrator
from demonstration.acme import DATABASES_TEAM, OWNER_TEAM, REPOSITORY, found_acme
from demonstration.feed import Feed
from demonstration.pictures import bars_of
from demonstration.proofs import AGGREGATE, Gate
from demonstration.screen import Screen
from embedded.mysql import MySQLServer, wait_for_replica
from embedded.product import Product
from embedded.seed import SCHEMA_OF, Writer, seed_shop
from embedded.stack import Stack
from tests.fakes.github import GitHubStandIn, PullRequest, World
from workflows import addresses
from workflows.messages import Progress, PullRequestView
from workflows.pull_request import PullRequest as PullRequestWorkflow
from workflows.rules.names import PullRequestRef
from workflows.rules.stages import Stage

T = TypeVar("T")

TICK_SECONDS = 0.2
VIEW_SECONDS = 0.5
PROGRESS_SECONDS = 1.0
"""Between two questions to Temporal: the machine has other things to do."""
WRITES_PER_SECOND = 25.0


STUCK = "Failed activation on workflow"
"""What the SDK writes when workflow code raises: it is tried again for ever."""


class Missed(Exception):  # noqa: N818 - it is a deadline that was missed; the text says which, and what was seen instead
    """Something that was waited for did not come."""


class Theatre:
    """An async context manager: MySQL, Temporal, the GitHub stand-in, skeebot's two processes, and a writer on each primary."""

    def __init__(self, screen: Screen, *, orders: int, ui: bool) -> None:
        self.screen = screen
        self.orders = orders
        self.stack = Stack(ui=ui)
        self.github = GitHubStandIn()
        self.writers: dict[str, Writer] = {}
        self.view: PullRequestView | None = None
        self.gate = Gate(looks={}, refusals=[])
        self.pull: PullRequest | None = None
        self._viewed_at = self._measured_at = 0.0
        self._progress: dict[str, Progress] = {}
        self._exits = ExitStack()
        self._client: Client | None = None
        self._narrator: Narrator | None = None
        self.product: Product
        self.feed: Feed

    @property
    def world(self) -> World:
        return self.github.world

    @property
    def primaries(self) -> Mapping[str, MySQLServer]:
        """Place (`cluster/shard`) → its primary."""
        return {f"{cluster.name}/{shard.name}": shard.primary for cluster in self.stack.mysql.clusters for shard in cluster.shards}

    # ── Life

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._raise_curtain)
            self._client = await self.stack.temporal.client()
            self._narrator = Narrator(self._client, _nowhere)
        except BaseException:
            await asyncio.to_thread(self._exits.close)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(asyncio.to_thread(self._exits.close))

    def _raise_curtain(self) -> None:
        say = self.screen.says
        enter = self._exits.enter_context
        self.screen.wait_for("MySQL and Temporal to start")
        enter(self.stack)
        enter(self.github)
        found_acme(self.github)
        say("github", f"the stand-in answers at {self.github.html_url}, with {REPOSITORY} and its protected branch main")
        self.product = Product(self.stack, self.github)
        self.screen.wait_for(f"{self.orders:,} orders to be seeded on each primary, and skeebot to start")
        with ThreadPoolExecutor(2) as lanes:
            seeding = lanes.submit(self._seed)
            lanes.submit(self._start_product).result()
            seeding.result()
        for place, server in self.primaries.items():
            self.writers[place] = enter(Writer(server, seeded=self.orders, per_second=WRITES_PER_SECOND))
        self.screen.wait_for("")
        self.feed = Feed(self.world, audit=self.product.folder / "audit.jsonl", runs=self.product.folder / "runs")

    def _seed(self) -> None:
        with ThreadPoolExecutor(2) as lanes:
            list(lanes.map(lambda server: seed_shop(server, orders=self.orders), self.stack.mysql.primaries))
        mysql = self.stack.mysql
        wait_for_replica(mysql.production_a, mysql.production_a_replica, seconds=120)
        self.screen.says("mysql", f"{self.orders:,} orders on staging, production a (with a replica) and production b")

    def _start_product(self) -> None:
        self._exits.enter_context(self.product)
        directories = [(folder, folder, schema) for folder, schema in SCHEMA_OF.items()]
        self.product.enrol(REPOSITORY, owner_team=OWNER_TEAM, databases_team=DATABASES_TEAM, directories=directories)
        self.screen.says("skeebot", f"works, and {REPOSITORY} is enrolled: {', '.join(SCHEMA_OF)} for staging and production")

    # ── Looking

    @property
    def client(self) -> Client:
        assert self._client is not None, "the curtain is still down"
        return self._client

    @property
    def ref(self) -> PullRequestRef:
        assert self.pull is not None, "there is no pull request yet"
        owner, repo = REPOSITORY.split("/")
        return PullRequestRef(owner=owner, repo=repo, number=self.pull.number)

    @property
    def workflow(self) -> WorkflowHandle[PullRequestWorkflow, str]:
        return self.client.get_workflow_handle_for(PullRequestWorkflow.run, addresses.pull_request(self.ref))

    @property
    def stage(self) -> Stage:
        return self.view.stage if self.view else Stage.LOOKING

    def aggregate(self) -> str:
        """What the required check says on the head: its conclusion, else its status, "" while it is missing."""
        assert self.pull is not None
        run = self.world.current_check(REPOSITORY, self.pull.head_sha, AGGREGATE)
        return str(run.conclusion or run.status) if run else ""

    async def look(self) -> None:
        """Show what happened since the last look, and try the merge button's handle."""
        for line in self.feed.news():
            self.screen.line(line)
        for process in (self.product.worker, self.product.door):
            if process is not None and process.returncode is not None:
                raise Missed(f"{process.name} ended with exit code {process.returncode}; its log ends:\n{process.tail()}")
        if STUCK in self.product.worker_log():
            raise Missed("a workflow fails again and again, and nothing will make it go on; the worker's log says why")
        if self.pull is None:
            return
        with self.world.lock:
            if self.pull.is_open:
                self.gate.look(self.aggregate(), is_open=not self.world.merge_blockers(self.pull))
        await self._ask_temporal()
        self.screen.draw(bars_of(self.view) if self.view else ())

    async def _ask_temporal(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._viewed_at < VIEW_SECONDS:
            return
        self._viewed_at = now
        try:
            view = await self.workflow.query(PullRequestWorkflow.view)
        except (RPCError, WorkflowQueryFailedError):  # not started yet, or just being replaced
            return
        if view is None or self._narrator is None:
            return
        if now - self._measured_at >= PROGRESS_SECONDS:
            self._measured_at = now
            view = await self._narrator.with_progress(view)
            self._progress = {run.migration_id: run.progress for run in view.runs}
        self.view = replace(
            view, runs=tuple(replace(run, progress=self._progress.get(run.migration_id, run.progress)) for run in view.runs)
        )

    async def until(self, what: str, ready: Callable[[], T | None], *, seconds: float) -> T:
        """Look again and again until `ready` answers something true. Errors: Missed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self.screen.wait_for(what)
        while True:
            await self.look()
            if found := ready():
                self.screen.wait_for("")
                return found
            self._refuse_surprises(what)
            if loop.time() > deadline:
                raise Missed(f"waited {seconds:.0f} s for {what}, in vain. {self.in_words()}")
            await asyncio.sleep(TICK_SECONDS)

    def _refuse_surprises(self, what: str) -> None:
        """No story of ours goes on from there, so nobody needs to wait until the deadline."""
        if self.stage in {Stage.FAILED, Stage.REFUSED, Stage.AWAITING_DRIFT, Stage.AWAITING_OTHER, Stage.NOT_ENROLLED}:
            raise Missed(f"while waiting for {what}, the story came to {self.stage.value}. {self.in_words()}")

    def in_words(self) -> str:
        """What can be seen now, for somebody who wonders why nothing goes on."""
        lines = [f"Stage: {self.stage.value}."]
        if self.view is not None:
            lines += [f"  refused: {self.view.refusal.what} {self.view.refusal.next}"] if self.view.refusal else []
            lines += [
                f"  {one.row.environment}/{one.row.database}: {one.refusal.what} {one.refusal.next}"
                for one in self.view.plans
                if one.refusal
            ]
            lines += [f"  {run.migration.target}: {run.state.value} {run.detail}".rstrip() for run in self.view.runs]
            not_counted = self.view.approvals.not_counted.items()
            lines += [f"  the approval of {login} does not count: {why}" for login, why in not_counted]
        if self.pull is not None:
            with self.world.lock:
                lines += [f"  {blocker.text}" for blocker in self.world.merge_blockers(self.pull)]
                lines.append(f"  labels: {', '.join(sorted(self.world.label_names(self.pull))) or 'none'}")
        return "\n".join(lines)


async def _nowhere(_view: PullRequestView) -> None:
    """A narrator that only reads."""


def keep_logs(theatre: Theatre, folder: Path) -> Path:
    """Copies of every log, for after the stack is gone; what was there before goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for log in [*theatre.product.folder.glob("*.log"), *theatre.product.folder.glob("*.jsonl")]:
        shutil.copy(log, folder / log.name)
    for log in theatre.product.folder.glob("runs/*/ghost.log"):
        shutil.copy(log, folder / f"ghost-{log.parent.name}.log")
    return folder
