"""A company that uses skeebot: its repositories, its people, its servers, and how they wait."""

import asyncio
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from temporalio.service import RPCError, RPCStatusCode

from activities.mysql.preflight import ghost_lock
from embedded.mysql import MySQLServer
from embedded.product import Product
from tests.fakes.github import GitHubStandIn
from tests.fakes.github.bare_git import Files
from tests.fakes.github.objects import CheckRun, Comment, PullRequest, Repository
from tests.fakes.github.world import World
from workflows import addresses
from workflows.registry import Registry
from workflows.rules.commands import AddRepository, MapRepository, RegistryChange
from workflows.rules.names import PullRequestRef
from workflows.sweep import Round

_numbers = itertools.count(1)

ORDERS = """CREATE TABLE `orders` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `customer` varchar(100) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
"""


def with_column(sql: str, column: str) -> str:
    """The same table with one more column before its primary key."""
    return sql.replace("  PRIMARY KEY", f"  {column},\n  PRIMARY KEY", 1)


@dataclass
class Company:
    """Everybody and everything, started once a session."""

    product: Product
    github: GitHubStandIn

    @property
    def world(self) -> World:
        return self.github.world

    def shop(
        self,
        tables: Mapping[str, str],
        *,
        rows: int = 0,
        databases: Iterable[str] = ("orders",),
        environments: Mapping[str, str] | None = None,
    ) -> "Shop":
        """A repository of its own, enrolled, whose tables are live in schemas of its own. rows: of each table that has a customer."""
        number = f"{os.getpid()}_{next(_numbers)}"
        name = f"shop_{number}"
        files = {f"{database}/{table}.sql": sql for database in databases for table, sql in tables.items()}
        files |= {f"{database}/.skeema": "default-character-set=utf8mb4\ndefault-collation=utf8mb4_0900_ai_ci\n" for database in databases}
        repository = self.world.create_repository("acme", name, files={"README.md": "# shop\n", **files}, author="olga")
        self.world.protect_branch(repository, "main", required_check="SchemaBot", app_id=self.github.app_id)
        places = environments or {"staging": "staging", "production": "production"}
        schemas = {database: f"{database}_{number}" for database in databases}
        shop = Shop(company=self, repository=repository, schemas=schemas, places=dict(places))
        for schema in schemas.values():
            for server in shop.servers:
                server.create_schema(schema)
                for sql in tables.values():
                    server.run(sql.rstrip().rstrip(";"), schema=schema)
                for table, sql in tables.items():
                    if rows and "`customer`" in sql:
                        fill(server, schema, table, rows)
        self.enrol(f"acme/{name}", list(schemas.items()), places)
        return shop

    def enrol(self, repository: str, directories: Iterable[tuple[str, str]], places: Mapping[str, str]) -> None:
        """What `starter.py add-repo` and `repo-map` do, without a process for each. directories: (name, schema)."""
        changes: list[RegistryChange] = [
            AddRepository(repository, owner_team="orders-owners", databases_team="databases", environments=tuple(places)),
            *(
                MapRepository(repository, path=name, database=name, environment=environment, cluster=cluster, schema=schema)
                for name, schema in directories
                for environment, cluster in places.items()
            ),
        ]

        async def tell() -> None:
            client = await self.product.stack.temporal.client()
            for change in changes:
                await client.get_workflow_handle(addresses.REGISTRY).execute_update(Registry.change, change)

        asyncio.run(tell())

    def add_cluster(self, name: str, environment: str, port: int) -> None:
        """One more cluster in the inventory, of one shard, wherever that port leads."""
        lines = ("", "[[cluster]]", f'name = "{name}"', f'environment = "{environment}"', "[[cluster.shard]]", 'name = "main"')
        with (self.product.folder / "inventory.toml").open("a") as inventory:
            inventory.write("\n".join([*lines, 'rw_host = "127.0.0.1"', f"rw_port = {port}", ""]))

    def go_round(self) -> None:
        """What the schedule does every few minutes, to its end."""

        async def once() -> None:
            client = await self.product.stack.temporal.client()
            name = f"{addresses.ROUND}-{next(_numbers)}"
            await asyncio.wait_for(client.execute_workflow(Round.run, id=name, task_queue=addresses.CONTROL), 60)

        asyncio.run(once())

    def until_ended(self, pull: PullRequest, *, seconds: float = 60) -> str:
        """The story's last line, once its workflow has nothing left to wait for."""

        async def result() -> str:
            client = await self.product.stack.temporal.client()
            ref = PullRequestRef(owner=pull.repository.owner.login, repo=pull.repository.name, number=pull.number)
            story = client.get_workflow_handle(addresses.pull_request(ref))
            deadline = time.monotonic() + seconds
            while True:
                try:
                    return str(await asyncio.wait_for(story.result(), seconds))
                except (RPCError, TimeoutError) as wrong:
                    if time.monotonic() > deadline or getattr(wrong, "status", None) is not RPCStatusCode.NOT_FOUND:
                        raise AssertionError(f"the story of {pull} did not end: {wrong}\n{self.product.logs()}") from wrong
                    await asyncio.sleep(0.1)

        return asyncio.run(result())

    def until(self, condition: Callable[[], object], what: str, *, seconds: float = 60) -> None:
        """Poll; a failure says what was waited for and what skeebot logged."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:.0f} s for: {what}\n{self.product.logs()}")
            time.sleep(0.1)


def fill(server: MySQLServer, schema: str, table: str, rows: int) -> None:
    server.run("SET SESSION cte_max_recursion_depth = 10000000", schema=schema)
    with server.admin(database=schema) as connection, connection.cursor() as cursor:
        cursor.execute("SET cte_max_recursion_depth = 10000000")
        cursor.execute(
            f"INSERT INTO `{table}` (customer) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
            " SELECT CONCAT('customer ', i) FROM n",
            (rows,),
        )


@dataclass
class Shop:
    """One repository and its schemas. places: environment → cluster."""

    company: Company
    repository: Repository
    schemas: dict[str, str]
    places: dict[str, str]

    @property
    def world(self) -> World:
        return self.company.world

    @property
    def schema(self) -> str:
        return next(iter(self.schemas.values()))

    @property
    def pulls(self) -> list[PullRequest]:
        return list(self.repository.pulls.values())

    @property
    def servers(self) -> list[MySQLServer]:
        """Every primary that carries its schemas."""
        mysql = self.company.product.stack.mysql
        of = {"staging": [mysql.staging], "production": [mysql.production_a, mysql.production_b]}
        return [server for cluster in dict.fromkeys(self.places.values()) for server in of.get(cluster, [])]

    def open(
        self, branch: str, files: Files, *, title: str = "Change a table", base: str = "main", onto: str = "", author: str = "dave"
    ) -> "Change":
        """onto: the commit that the branch starts from; without it, the base branch's tip."""
        self.world.push(self.repository, branch, files, author=author, message=title, onto=onto or self.world.tip(self.repository, base))
        pull = self.world.open_pull_request(self.repository, branch, base, title=title, author=author)
        return Change(self, pull, branch)

    def merged(self, files: Files) -> str:
        """Somebody else's work arrives on the main branch."""
        return self.world.push(self.repository, "main", files, author="olga", message="Somebody else's work")

    def run(self, sql: str) -> None:
        """On every primary, by hand."""
        for server in self.servers:
            server.run(sql, schema=self.schema)

    def live(self) -> dict[str, str]:
        """What every primary holds: "server/schema/table" → its definition, but for where AUTO_INCREMENT stands."""
        return {
            f"{server.port}/{schema}/{row['name']}": re.sub(
                r" AUTO_INCREMENT=\d+", "", server.run(f"SHOW CREATE TABLE `{schema}`.`{row['name']}`")[0]["Create Table"]
            )
            for server in self.servers
            for schema in self.schemas.values()
            for row in server.run("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s ORDER BY 1", (schema,))
        }

    @contextmanager
    def kept_waiting(self, table: str) -> Iterator[None]:
        """As if somebody else's gh-ost had the table on the first primary: ours takes its turn there and waits before it begins."""
        with self.servers[0].admin() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0) AS got", (ghost_lock(self.schema, table),))
            assert ({"got": 1},) == tuple(cursor.fetchall()), f"{self.schema}.{table} is being migrated already"
            yield

    def columns(self, server: MySQLServer, table: str) -> list[str]:
        query = "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        return [row["name"] for row in server.run(f"{query} ORDER BY ordinal_position", (self.schema, table))]

    def tables(self, server: MySQLServer) -> list[str]:
        query = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name"
        return [row["name"] for row in server.run(query, (self.schema,))]


@dataclass
class Change:
    """One pull request, as the people around it see and treat it."""

    shop: Shop
    pull: PullRequest
    branch: str

    @property
    def world(self) -> World:
        return self.shop.world

    @property
    def head(self) -> str:
        return self.pull.head_sha

    # ── What can be seen ──

    def check(self, name: str = "SchemaBot", head: str | None = None) -> CheckRun | None:
        return self.world.current_check(self.shop.repository, head or self.head, name)

    def conclusion(self, name: str = "SchemaBot", head: str | None = None) -> str:
        """The conclusion, or the status while there is none; "" without a run."""
        run = self.check(name, head)
        return "" if run is None else str(run.conclusion or run.status)

    @property
    def comments(self) -> list[str]:
        return [comment.body for comment in self.pull.comments if comment.user.login == "skeebot[bot]"]

    @property
    def sticky(self) -> str:
        return next((body for body in self.comments if "skeebot:sticky" in body), "")

    @property
    def labels(self) -> set[str]:
        return set(self.world.label_names(self.pull))

    @property
    def told(self) -> str:
        """All that the check says."""
        run = self.check()
        return "\n\n".join(part for part in (run.title, run.summary, run.text) if part) if run else ""

    # ── What people do and wait for ──

    def until(self, condition: Callable[[], object], what: str, *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"waited {seconds:.0f} s for: {what}\nSchemaBot is {self.conclusion()!r}, labels {sorted(self.labels)}\n"
                    f"{self.sticky[:3000]}\n{self.shop.company.product.logs()}"
                )
            time.sleep(0.1)

    def until_conclusion(self, wanted: str, *, seconds: float = 60) -> None:
        self.until(lambda: self.conclusion() == wanted, f"SchemaBot to be {wanted}", seconds=seconds)

    def until_says(self, text: str, *, seconds: float = 60) -> None:
        self.until(lambda: text.casefold() in self.sticky.casefold(), f"the comment to say {text!r}", seconds=seconds)

    def approve(self, who: str, *, commit: str | None = None) -> None:
        """In a later second than anything shown so far: GitHub's clock counts whole seconds."""
        self.next_second()
        self.world.review(self.pull, who, "APPROVED", "", commit_id=commit or self.head)

    def next_second(self) -> None:
        """Wait until GitHub's clock shows another second."""
        now = datetime.now().astimezone().replace(microsecond=0)
        while datetime.now().astimezone().replace(microsecond=0) <= now:
            time.sleep(0.05)

    def ready(self) -> None:
        self.world.add_label(self.pull, "migration:for:review", by="dave")

    def say(self, who: str, line: str) -> Comment:
        return self.world.comment(self.pull, who, line)

    def obeyed(self, who: str, line: str) -> None:
        """Say it, and wait until it is marked as done."""
        self._reacted(self.say(who, line), "+1")

    def disobeyed(self, who: str, line: str) -> None:
        """Say it, and wait until it is marked as refused."""
        self._reacted(self.say(who, line), "confused")

    def _reacted(self, comment: Comment, wanted: str) -> None:
        self.until(lambda: comment.reactions, f"a reaction to {comment.body!r}")
        assert [wanted] == [reaction.content for reaction in comment.reactions], f"{comment.body}\n{self.sticky}"

    def push(self, files: Files) -> str:
        return self.world.push(self.shop.repository, self.branch, files, author="dave", message="one more")

    def close(self) -> None:
        self.world.close_pull_request(self.pull, by="dave")

    def approved_by_both(self) -> None:
        """From planned to queued."""
        self.until_conclusion("action_required")
        self.ready()
        self.until(lambda: "migration:skeema:diff" in self.labels, "the diff label")
        self.approve("oscar")
        self.until(lambda: "migration:skeefree:detected" in self.labels, "the plan to be detected")
        self.approve("dana")
        self.until(lambda: "migration:skeefree:queued" in self.labels, "the plan to be queued")
