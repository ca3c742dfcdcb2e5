"""A pull request's files, without git: what PlanActivities reads, and one call that plans them on the embedded topology."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from activities.mysql.discovery import Discovery
from activities.mysql.planner import PlanActivities
from activities.settings import Settings
from activities.skeema.options import read_option_files
from activities.skeema.sources import Sources, read_sources
from embedded.mysql import MySQLServer, Topology
from embedded.tools import Tools
from tests.activities.mysql.house import settings_for
from workflows.messages import Applied, ChangedDirectory, Changes, PlanDatabase, PlanStatement
from workflows.rules.names import DatabaseRow, HeadSha, PullRequestRef, Target
from workflows.rules.plan import DatabasePlan, Directory, Drift, Enrolment, PlanOptions

REF = PullRequestRef("acme", "shop", 7)
PATH = "schemas/orders"
DATABASE = "orders"


@dataclass
class Files:
    """Both sides of a pull request: file name → content. The tables that differ are the pull request's."""

    base: Mapping[str, str]
    merge: Mapping[str, str]
    options: str = ""

    async def sources_of(self, repository: str, changes: Changes, path: str, *, at: Literal["merge", "base"]) -> Sources:
        assert (REF.repository, PATH) == (repository, path)
        files = self.merge if at == "merge" else self.base
        found = read_sources({name: text.encode() for name, text in files.items()}, changed=self.changed if at == "merge" else ())
        options = read_option_files([(".skeema", self.options.encode())])
        return Sources(found.tables, options, found.unread, found.notes, found.refusal)

    @property
    def changed(self) -> set[str]:
        return {name for name in {*self.base, *self.merge} if self.base.get(name) != self.merge.get(name)}


@dataclass
class Planner:
    """Plans on a topology of its own schema. servers: those that have it. applied: what the queues carry."""

    topology: Topology
    schema: str
    settings: Settings
    servers: tuple[MySQLServer, ...]
    applied: list[Applied] = field(default_factory=list)

    async def plan(
        self,
        base: Mapping[str, str],
        merge: Mapping[str, str],
        *,
        environment: str = "staging",
        completed: Sequence[Target] = (),
        acknowledged: Sequence[Drift] = (),
        allow_instant: bool = False,
        options: str = "",
        tables: Sequence[str] | None = None,
    ) -> DatabasePlan:
        """base, merge: table → CREATE TABLE."""
        files = Files(_files(base), _files(merge), options)
        mine = tuple(sorted(name.removesuffix(".sql") for name in files.changed)) if tables is None else tuple(tables)
        row = DatabaseRow(environment, DATABASE)
        enrolment = Enrolment(
            repository=REF.repository,
            owner_team="orders",
            databases_team="databases",
            directories=(Directory(PATH, DATABASE, environment, environment, self.schema),),
            options=PlanOptions(allow_instant=allow_instant),
        )
        directory = ChangedDirectory(row, PATH, mine)
        changes = Changes("b" * 40, "c" * 40, (directory,))
        ask = PlanDatabase(REF, HeadSha("a" * 40), changes, directory, enrolment, tuple(completed), tuple(acknowledged))
        return await self.activities(files).plan_database(ask)

    async def by_hand(self, statement: str, *, cluster: str = "staging", shards: Sequence[str] = ()) -> DatabasePlan:
        ask = PlanStatement(cluster=cluster, schema=self.schema, statement=statement, shards=tuple(shards))
        return await self.activities(Files({}, {})).plan_statement(ask)

    def activities(self, files: Files) -> PlanActivities:
        async def applied_unmerged(cluster: str, shard: str) -> list[Applied]:
            return [one for one in self.applied if (one.target.cluster, one.target.shard) == (cluster, shard)]

        return PlanActivities(self.settings, Discovery(self.settings.mysql), files, applied_unmerged)

    def run(self, *statements: str, on: MySQLServer | None = None) -> None:
        """As the administrator, on one primary or on all that have the schema."""
        for server in [on] if on is not None else self.servers:
            for statement in statements:
                server.run(statement, schema=self.schema)

    def target(self, table: str, *, cluster: str = "staging", shard: str = "main") -> Target:
        return Target(cluster, DATABASE, cluster, shard, self.schema, table)


def planner_on(topology: Topology, schema: str, tools: Tools, folder: Path, servers: tuple[MySQLServer, ...]) -> Planner:
    inventory = topology.write_inventory(folder / "inventory.toml")
    secret = folder / "secret"
    secret.write_text("nothing")
    settings = Settings.model_validate(
        {
            "github": {"app_id": 1, "private_key_file": secret, "webhook_secret_file": secret},
            "mysql": settings_for(topology.passwords, inventory),
            "diff": {"cache_directory": folder / "git", "skeema": str(tools.skeema)},
            "runner": {"run_directory": folder / "runs"},
            "audit": {"file": folder / "audit"},
        }
    )
    return Planner(topology, schema, settings, servers)


def _files(tables: Mapping[str, str]) -> dict[str, str]:
    return {f"{table}.sql": f"{create};\n" for table, create in tables.items()}
