"""Views of every stage as the workflow would hand them over, and what is rendered from them."""

from collections.abc import Mapping
from dataclasses import replace

from activities.github.render import CheckOutput, render_check, render_say, render_sticky
from workflows.messages import Announcement, CommandAnswer, MigrationRun, Progress, PublishCheck, PullRequestView, Say
from workflows.rules.approvals import Approvals
from workflows.rules.checks import CheckRun, CheckState
from workflows.rules.commands import help_text
from workflows.rules.names import DatabaseRow, Fingerprint, HeadSha, Login, MigrationId, PlanDigest, PullRequestRef, Target
from workflows.rules.plan import ChangeKind, DatabasePlan, Drift, PlannedMigration, Refusal, Risk, Strategy
from workflows.rules.stages import MigrationState, Stage

HEAD = HeadSha("5f0c3d9a1b7e4c2d8f6a0b9c3d5e7f1a2b4c6d8e")
DIGEST = PlanDigest("c0ffee12ab34" + "0" * 52)
REF = PullRequestRef(owner="acme", repo="shop", number=42)
STAGING = DatabaseRow(environment="staging", database="shop")
PRODUCTION = DatabaseRow(environment="production", database="shop")

ORDERS = "ALTER TABLE `orders` ADD COLUMN `note` varchar(200) DEFAULT NULL, ADD KEY `by_customer` (`customer_id`)"
GIFTS = (
    "CREATE TABLE `gifts` (\n  `id` bigint NOT NULL AUTO_INCREMENT,\n  `name` varchar(80) NOT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB"
)
COUPONS = "DROP TABLE `coupons`"


def target(row: DatabaseRow, table: str, shard: str = "only") -> Target:
    cluster = "shop-staging" if row is STAGING else "shop-production"
    return Target(environment=row.environment, database=row.database, cluster=cluster, shard=shard, schema="shop", table=table)


def alter(row: DatabaseRow, shard: str = "only", rows: int = 320_000) -> PlannedMigration:
    return PlannedMigration(
        target=target(row, "orders", shard),
        kind=ChangeKind.ALTER_TABLE,
        statement=ORDERS,
        strategy=Strategy.GH_OST,
        why="An index is added, which would lock or lag in place.",
        fingerprint=Fingerprint("1" * 64),
        rows=rows,
        bytes=rows * 210,
        seconds=rows / 11_000,
        position=1,
        risks=(Risk(code="lock", text="The swap waits up to 3 s for a lock on `orders`."),),
        dependents=("view shop.open_orders",),
        revert_until="until binary logs of the copy are purged, in about 3 days",
    )


def create(row: DatabaseRow, shard: str = "only") -> PlannedMigration:
    return PlannedMigration(
        target=target(row, "gifts", shard),
        kind=ChangeKind.CREATE_TABLE,
        statement=GIFTS,
        strategy=Strategy.DIRECT,
        why="A new table locks nothing.",
        fingerprint=Fingerprint(""),
        position=0,
        revert_until="while it is empty",
    )


def drop(row: DatabaseRow, shard: str = "only") -> PlannedMigration:
    return PlannedMigration(
        target=target(row, "coupons", shard),
        kind=ChangeKind.DROP_TABLE,
        statement=COUPONS,
        strategy=Strategy.DIRECT,
        why="The table is renamed away and dropped later.",
        fingerprint=Fingerprint("2" * 64),
        rows=1_200,
        bytes=300_000,
        position=2,
        risks=(Risk(code="drop-table", text="`coupons` and its 1,200 rows go.", unsafe=True),),
        revert_until="for 7 days, by renaming it back",
    )


STAGING_PLAN = DatabasePlan(row=STAGING, migrations=(create(STAGING), alter(STAGING), drop(STAGING)))
PRODUCTION_PLAN = DatabasePlan(
    row=PRODUCTION,
    migrations=tuple(
        one for shard in ("-80", "80-") for one in (create(PRODUCTION, shard), alter(PRODUCTION, shard), drop(PRODUCTION, shard))
    ),
)
PLANS = (STAGING_PLAN, PRODUCTION_PLAN)


def run(migration: PlannedMigration, state: MigrationState, **facts: object) -> MigrationRun:
    made = MigrationRun(migration_id=MigrationId(f"{REF}:{migration.target}:{migration.position}"), migration=migration, state=state)
    return replace(made, **facts)  # type: ignore[arg-type]  # the facts of a sample are named where it is made


def view(stage: Stage, **facts: object) -> PullRequestView:
    made = PullRequestView(
        ref=REF,
        author=Login("ada"),
        head_sha=HEAD,
        stage=stage,
        digest=DIGEST,
        expected=(STAGING, PRODUCTION),
        row_states={"staging/mysql/shop": CheckState.ACTION_REQUIRED, "production/mysql/shop": CheckState.ACTION_REQUIRED},
        plans=PLANS,
        owner_team="shop-owners",
        databases_team="databases",
    )
    return replace(made, **facts)  # type: ignore[arg-type]  # as above


BOTH = Approvals(owner=Login("grace"), dba=Login("dora"))
STAGING_DONE = (
    run(create(STAGING), MigrationState.COMPLETE, seconds=0.4),
    run(alter(STAGING), MigrationState.COMPLETE, seconds=31.2, rows_compared=320_411),
    run(drop(STAGING), MigrationState.COMPLETE, seconds=0.2, quarantined_as="_20261122054100_coupons_DRP"),
)
HALFWAY = Progress(percent=62.4, rows_copied=199_680, rows_total=320_000, eta_seconds=19.0, elapsed_seconds=31.0, phase="migrating")
THROTTLED = Progress(percent=12.0, rows_copied=38_400, rows_total=320_000, phase="throttled, lag=4.2s")
PRODUCTION_RUNNING = (
    run(create(PRODUCTION, "-80"), MigrationState.COMPLETE, seconds=0.5),
    run(alter(PRODUCTION, "-80"), MigrationState.RUNNING, progress=HALFWAY),
    run(drop(PRODUCTION, "-80"), MigrationState.QUEUED),
    run(create(PRODUCTION, "80-"), MigrationState.COMPLETE, seconds=0.4),
    run(alter(PRODUCTION, "80-"), MigrationState.RUNNING, progress=THROTTLED),
    run(drop(PRODUCTION, "80-"), MigrationState.QUEUED),
)
PRODUCTION_HOLDING = (
    run(create(PRODUCTION, "-80"), MigrationState.COMPLETE, seconds=0.5),
    run(alter(PRODUCTION, "-80"), MigrationState.HOLDING, rows_compared=320_411),
    run(drop(PRODUCTION, "-80"), MigrationState.QUEUED),
)
PRODUCTION_DONE = tuple(run(one, MigrationState.COMPLETE, seconds=30.0, rows_compared=one.rows) for one in PRODUCTION_PLAN.migrations)
PRODUCTION_FAILED = (
    run(create(PRODUCTION, "-80"), MigrationState.COMPLETE, seconds=0.5),
    run(
        alter(PRODUCTION, "-80"),
        MigrationState.FAILED,
        detail="gh-ost stopped: the disk of shop-production-1 is full. Make room on it",
    ),
    run(drop(PRODUCTION, "-80"), MigrationState.CANCELLED, detail="an earlier migration of this shard failed"),
)
NOT_MAPPED = Refusal(
    code="not-mapped",
    what="`schema/billing` is changed, but no database is mapped to it.",
    next="An operator maps it with `starter.py repo-map acme/shop schema/billing …`.",
)
STALE = Refusal(code="stale", what="The branch conflicts with `main`.", next="Update the branch and push it.")
DRIFT = Drift(target=target(PRODUCTION, "orders", "-80"), statement="ALTER TABLE `orders` DROP KEY `added_by_hand`")
OTHERS = Drift(
    target=target(PRODUCTION, "orders", "-80"), statement="ALTER TABLE `orders` DROP COLUMN `vat`", by_pull_request="acme/shop#40"
)
DRIFTED = (STAGING_PLAN, replace(PRODUCTION_PLAN, drift=(DRIFT,)))
BLOCKED = (STAGING_PLAN, replace(PRODUCTION_PLAN, drift=(OTHERS,)))
BY_HAND = PlannedMigration(
    target=target(PRODUCTION, "shop", "-80"),
    kind=ChangeKind.OTHER,
    statement="ALTER DATABASE `shop` CHARACTER SET utf8mb4",
    strategy=Strategy.MANUAL,
    why="It changes every table that comes after it.",
    fingerprint=Fingerprint("3" * 64),
)
UNPROVEN = "The comparison could not prove every row: 3 keys kept changing. A DBA decides: `.skeefree cut-over`."
SUCCESSFUL = {"staging/mysql/shop": CheckState.SUCCESS, "production/mysql/shop": CheckState.SUCCESS}
HALF_DONE = {"staging/mysql/shop": CheckState.SUCCESS, "production/mysql/shop": CheckState.IN_PROGRESS}
ANSWERS = (
    CommandAnswer(
        id="comment/7/1",
        line="allow-unsafe c0ffee12",
        actor=Login("ada"),
        done=False,
        text="`allow-unsafe` is a second person's word, and you wrote this change. Ask a member of the databases team.",
    ),
    CommandAnswer(id="comment/8/1", line="help", actor=Login("bob"), done=True, text=f"What can be typed:\n{help_text()}"),
    CommandAnswer(id="comment/9/1", line="allow-unsafe c0ffee12", actor=Login("dora"), done=True, text="The losses are accepted."),
)

HOSTILE_NAME = "or`de|rs\n<img src=x onerror=alert(1)> @everyone ![x](http://evil.example/x.png) \u202e-->"
HOSTILE_SQL = "ALTER TABLE `x` COMMENT '\n```\n````\n</details>\n<script>alert(1)</script>\n@acme/everyone\u202e'"
HOSTILE = replace(
    alter(STAGING),
    target=replace(target(STAGING, HOSTILE_NAME), shard="a|b"),
    statement=HOSTILE_SQL,
    why="because of </summary> <b>@ada</b> | `never closed",
    risks=(Risk(code="x", text="loses `a|b` and <!-- everything --> of @dora", unsafe=True),),
    dependents=("view `x`|y", "@everyone"),
)
HOSTILE_VIEW_FACTS: Mapping[str, object] = {
    "expected": (STAGING,),
    "plans": (
        DatabasePlan(
            row=STAGING,
            migrations=(HOSTILE,),
            drift=(Drift(target=HOSTILE.target, statement="```\n@everyone"), Drift(HOSTILE.target, "x", "acme/shop#1 @everyone")),
            refusal=Refusal(code="x", what="`| a |\n| b |` failed: ```", next="Ask @everyone <b>now</b>"),
            notes=("skeema said: <details> @everyone",),
        ),
    ),
    "runs": (run(HOSTILE, MigrationState.FAILED, detail="ERROR 1064 near '`|</td>\n@everyone'"),),
    "approvals": Approvals(not_counted={"mal`lory|": "because @everyone"}, objections=(Login("eve</b>"),)),
    "owner_team": "own|ers`",
    "answers": (
        CommandAnswer(id="1", line="abort` @everyone | <b>", actor=Login("mal|lory"), done=False, text="no: ``` <b> @everyone\n- | x"),
    ),
    "changed_since_approval": ("@everyone | `",),
}


def many_tables(number: int) -> DatabasePlan:
    return DatabasePlan(
        row=STAGING,
        migrations=tuple(
            replace(alter(STAGING), target=target(STAGING, f"table_{at:04d}"), statement=f"ALTER TABLE `table_{at:04d}` ADD `x` int")
            for at in range(number)
        ),
    )


STICKY: Mapping[str, PullRequestView] = {
    "looking": view(Stage.LOOKING, digest=None, expected=(), plans=()),
    "planning": view(Stage.PLANNING, digest=None, plans=(STAGING_PLAN,)),
    "no-changes": view(Stage.NO_CHANGES, digest=None, expected=(), plans=()),
    "not-enrolled": view(Stage.NOT_ENROLLED, digest=None, expected=(), plans=(), owner_team="", databases_team=""),
    "refused": view(Stage.REFUSED, digest=None, plans=(STAGING_PLAN, DatabasePlan(row=PRODUCTION, refusal=NOT_MAPPED))),
    "refused-conflict": view(Stage.REFUSED, digest=None, expected=(), plans=(), refusal=STALE),
    "shared-head": view(Stage.SHARED_HEAD, twins=(43, 57)),
    "awaiting-drift-acknowledgement": view(Stage.AWAITING_DRIFT, plans=DRIFTED),
    "awaiting-other-pull-request": view(Stage.AWAITING_OTHER, plans=BLOCKED),
    "awaiting-allow-unsafe": view(Stage.AWAITING_UNSAFE, answers=ANSWERS[:2]),
    "awaiting-label": view(Stage.AWAITING_LABEL, allowed_unsafe_by="dora"),
    "awaiting-owner": view(
        Stage.AWAITING_OWNER,
        allowed_unsafe_by="dora",
        approvals=Approvals(
            not_counted={
                "grace": "it is about 1b2c3d4e, which is not the head. Approve again",
                "ada": "the author of a change never counts",
            }
        ),
        changed_since_approval=("The head moved from `1b2c3d4e` to `5f0c3d9a`",),
    ),
    "awaiting-dba": view(Stage.AWAITING_DBA, approvals=Approvals(owner=Login("grace")), answers=ANSWERS, allowed_unsafe_by="dora"),
    "awaiting-dba-objection": view(
        Stage.AWAITING_DBA, approvals=Approvals(owner=Login("grace"), dba=Login("dora"), objections=(Login("edsger"),))
    ),
    "awaiting-autorun": view(Stage.AWAITING_AUTORUN, approvals=BOTH),
    "awaiting-manual": view(
        Stage.AWAITING_MANUAL,
        approvals=BOTH,
        plans=(DatabasePlan(row=PRODUCTION, migrations=(BY_HAND,)),),
        expected=(PRODUCTION,),
        runs=(run(BY_HAND, MigrationState.MANUAL),),
    ),
    "queued": view(Stage.QUEUED, approvals=BOTH, runs=tuple(run(one, MigrationState.QUEUED) for one in STAGING_PLAN.migrations)),
    "running": view(Stage.RUNNING, approvals=BOTH, runs=STAGING_DONE + PRODUCTION_RUNNING, row_states=HALF_DONE),
    "running-withdrawn": view(
        Stage.RUNNING, approvals=Approvals(dba=Login("dora")), runs=STAGING_DONE + PRODUCTION_RUNNING, row_states=HALF_DONE
    ),
    "running-late-commits": view(Stage.RUNNING, approvals=BOTH, runs=STAGING_DONE + PRODUCTION_RUNNING, late_commits=True),
    "holding-cut-over": view(Stage.HOLDING, approvals=BOTH, runs=STAGING_DONE + PRODUCTION_HOLDING, row_states=HALF_DONE),
    "holding-cut-over-held": view(Stage.HOLDING, approvals=BOTH, runs=STAGING_DONE + PRODUCTION_HOLDING, held_by="dora"),
    "holding-cut-over-unproven": view(
        Stage.HOLDING,
        approvals=BOTH,
        runs=(*STAGING_DONE, replace(PRODUCTION_HOLDING[1], detail=UNPROVEN, unproven=True)),
        row_states=HALF_DONE,
    ),
    "holding-cut-over-withdrawn": view(
        Stage.HOLDING,
        approvals=Approvals(owner=Login("grace"), objections=(Login("dora"),)),
        runs=STAGING_DONE + PRODUCTION_HOLDING,
    ),
    "proving": view(Stage.PROVING, approvals=BOTH, runs=STAGING_DONE, row_states=HALF_DONE),
    "complete": view(
        Stage.COMPLETE,
        approvals=BOTH,
        runs=STAGING_DONE + PRODUCTION_DONE,
        row_states=SUCCESSFUL,
        plans=(DatabasePlan(row=STAGING), DatabasePlan(row=PRODUCTION)),
    ),
    "complete-nothing-to-run": view(Stage.COMPLETE, row_states=SUCCESSFUL, plans=(DatabasePlan(row=STAGING), DatabasePlan(row=PRODUCTION))),
    "failed": view(
        Stage.FAILED,
        approvals=BOTH,
        runs=STAGING_DONE + PRODUCTION_FAILED,
        row_states={"staging/mysql/shop": CheckState.SUCCESS, "production/mysql/shop": CheckState.FAILURE},
    ),
    "closed": view(
        Stage.CLOSED,
        runs=tuple(run(one, MigrationState.CANCELLED, detail="the pull request was closed") for one in STAGING_PLAN.migrations),
    ),
    "merged": view(Stage.MERGED, runs=STAGING_DONE + PRODUCTION_DONE),
    "hostile": view(Stage.FAILED, **HOSTILE_VIEW_FACTS),
}

SAID: Mapping[str, Say] = {
    "detected": Say(REF, Announcement.DETECTED, "detected", view(Stage.AWAITING_DBA, approvals=Approvals(owner=Login("grace")))),
    "failed": Say(REF, Announcement.FAILED, "failed", STICKY["failed"]),
    "complete": Say(REF, Announcement.COMPLETE, "complete", STICKY["complete"]),
    "approvals-void": Say(
        REF,
        Announcement.APPROVALS_VOID,
        "void",
        view(Stage.AWAITING_OWNER, changed_since_approval=("A push moved the head from `1b2c3d4e` to `5f0c3d9a`",)),
    ),
    "command-refused": Say(
        REF, Announcement.COMMAND_REFUSED, "command/comment/7/1", view(Stage.AWAITING_UNSAFE, answers=ANSWERS), text=ANSWERS[0].text
    ),
    "held": Say(REF, Announcement.HELD, "held", STICKY["holding-cut-over-withdrawn"]),
    "held-unproven": Say(REF, Announcement.HELD, "unproven/1", STICKY["holding-cut-over-unproven"]),
    "unreadable": Say(
        REF,
        Announcement.UNREADABLE,
        "unreadable/1",
        view(Stage.LOOKING),
        text="GitHub does not let the App do GET /orgs/acme/teams/orders-owners/memberships/grace on acme/shop: Resource not accessible by"
        " integration. Give the App the permission Members: read (organisation) in its settings (https://github.com/settings/apps/skeebot),"
        " then let an owner of acme accept it.",
    ),
    "hostile": Say(REF, Announcement.FAILED, "<!-- --> @everyone", STICKY["hostile"], text="```\n@everyone <b>"),
}


def check(shown: PullRequestView, state: CheckState, row: DatabaseRow | None = None) -> PublishCheck:
    name = row.check_name("SchemaBot") if row else "SchemaBot"
    return PublishCheck(ref=REF, run=CheckRun(name=name, head_sha=HEAD, generation=1, state=state), row=row, view=shown)


CHECKS: Mapping[str, PublishCheck] = {
    "aggregate-waiting": check(STICKY["awaiting-allow-unsafe"], CheckState.ACTION_REQUIRED),
    "aggregate-running": check(STICKY["running"], CheckState.IN_PROGRESS),
    "aggregate-late-commits": check(STICKY["running-late-commits"], CheckState.ACTION_REQUIRED),
    "aggregate-failed": check(STICKY["failed"], CheckState.FAILURE),
    "aggregate-complete": check(STICKY["complete"], CheckState.SUCCESS),
    "aggregate-no-changes": check(STICKY["no-changes"], CheckState.SUCCESS),
    "aggregate-refused": check(STICKY["refused-conflict"], CheckState.FAILURE),
    "aggregate-left-behind": replace(
        check(STICKY["running-late-commits"], CheckState.ACTION_REQUIRED),
        run=CheckRun(name="SchemaBot", head_sha=HeadSha("0" * 40), generation=1, state=CheckState.ACTION_REQUIRED),
    ),
    "database-waiting": check(STICKY["awaiting-dba"], CheckState.ACTION_REQUIRED, PRODUCTION),
    "database-drift": check(STICKY["awaiting-drift-acknowledgement"], CheckState.ACTION_REQUIRED, PRODUCTION),
    "database-running": check(STICKY["running"], CheckState.IN_PROGRESS, PRODUCTION),
    "database-held": check(STICKY["holding-cut-over-held"], CheckState.ACTION_REQUIRED, PRODUCTION),
    "database-complete": check(STICKY["complete"], CheckState.SUCCESS, STAGING),
    "database-failed": check(STICKY["failed"], CheckState.FAILURE, PRODUCTION),
    "database-hostile": check(STICKY["hostile"], CheckState.FAILURE, STAGING),
}


def check_as_text(output: CheckOutput) -> str:
    buttons = "\n".join(f"[{one.label}] {one.description} ({one.identifier})" for one in output.actions)
    return f"TITLE\n{output.title}\n\nSUMMARY\n{output.summary}\n\nTEXT\n{output.text}\n\nBUTTONS\n{buttons}\n"


def rendered() -> dict[str, str]:
    """File name → what must be in it."""
    return (
        {f"sticky-{name}.md": render_sticky(one) + "\n" for name, one in STICKY.items()}
        | {f"say-{name}.md": render_say(one) + "\n" for name, one in SAID.items()}
        | {f"check-{name}.md": check_as_text(render_check(one)) for name, one in CHECKS.items()}
    )
