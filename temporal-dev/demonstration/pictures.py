"""What the terminal shows besides lines: the plan, and one bar for each table that is being migrated."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from demonstration.acme import ENVIRONMENTS
from workflows.messages import MigrationRun, PullRequestView
from workflows.rules.plan import PlannedMigration, Strategy
from workflows.rules.stages import MigrationState

MOVING = frozenset({MigrationState.READY, MigrationState.RUNNING, MigrationState.HOLDING})


@dataclass(frozen=True)
class Bar:
    """One table on one shard. doing: copying, comparing, …; percent: 0–100, of that. detail: how far in rows and seconds."""

    place: str
    doing: str
    percent: float
    detail: str = ""


# ── The plan ────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan_picture(view: PullRequestView, *, but: Collection[str] = ()) -> RenderableType:
    """Each statement once, with where it runs, how, on how many rows, for how long, and what is lost. but: statements left out."""
    parts: list[RenderableType] = []
    for group in alike(one for plan in view.plans for one in plan.migrations):
        first = group[0]
        if first.statement in but:
            continue
        parts.append(Syntax(first.statement, "sql", theme="ansi_dark", background_color="default", word_wrap=True))
        parts.append(Padding(_places(group), (0, 0, 0, 2)))
        parts += [Padding(text, (0, 0, 0, 3)) for text in _risks(group)]
        parts.append(Text())
    return Group(*parts[:-1])


def alike(migrations: Iterable[PlannedMigration]) -> list[list[PlannedMigration]]:
    """The same statement on several shards, together; in the order in which they would run."""
    groups: dict[tuple[str, str], list[PlannedMigration]] = {}
    for one in sorted(migrations, key=lambda one: (one.position, ENVIRONMENTS.index(one.target.environment), one.target.shard)):
        groups.setdefault((one.target.schema, one.statement), []).append(one)
    return list(groups.values())


def _places(group: Sequence[PlannedMigration]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim", pad_edge=False)
    for name in ("Environment", "Shard", "Strategy"):
        table.add_column(name)
    for name in ("Rows", "Size", "About"):
        table.add_column(name, justify="right")
    for one in group:
        environment = one.target.environment
        strategy = Text(one.strategy.value, style="bold" if one.strategy is Strategy.GH_OST else "")
        table.add_row(environment, one.target.shard, strategy, _rows(one), _size(one.bytes), _time(one.seconds))
    return table


def _risks(group: Sequence[PlannedMigration]) -> Iterator[Text]:
    texts = dict.fromkeys((risk.text, risk.unsafe) for one in group for risk in one.risks)
    for text, unsafe in texts:
        yield Text(f"{'✗ unsafe:' if unsafe else '·'} {text}", style="red" if unsafe else "dim")


def _rows(one: PlannedMigration) -> str:
    return f"{one.rows:,}" if one.rows else "–"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count else "–"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


# ── Progress ────────────────────────────────────────────────────────────────────────────────────────────────────────


def bars_of(view: PullRequestView) -> list[Bar]:
    """Of what moves now; direct statements are over before anybody could look."""
    return [_bar(run) for run in view.runs if run.state in MOVING and run.migration.strategy is Strategy.GH_OST]


def _bar(run: MigrationRun) -> Bar:
    target, progress = run.migration.target, run.progress
    place = f"{target.cluster}/{target.shard} {target.table}"
    if run.state is not MigrationState.RUNNING:
        return Bar(place, run.state.value, 100.0 if run.state is MigrationState.HOLDING else 0.0)
    doing = {"": "starting", "migrating": "copying", "postponing cut-over": "waiting to compare"}.get(progress.phase, progress.phase)
    rows = f"{progress.rows_copied:,} rows" if progress.rows_copied else ""
    left = f"{progress.eta_seconds:.0f} s left" if progress.eta_seconds and progress.percent < 100 else ""
    return Bar(place, doing, progress.percent, ", ".join(part for part in (rows, left) if part))


def bars_picture(bars: Sequence[Bar]) -> Table:
    grid = Table.grid(padding=(0, 1))
    for bar in bars:
        share = Text(f"{bar.percent:3.0f} %", style="cyan")
        line = ProgressBar(total=100, completed=bar.percent, width=18)
        grid.add_row(Text(f"   {bar.place}"), line, share, Text(bar.doing), Text(bar.detail, style="dim"))
    return grid


def bar_in_words(bar: Bar) -> str:
    """For a terminal that cannot redraw."""
    full = int(bar.percent // 10)
    return f"{bar.place} {'█' * full}{'░' * (10 - full)} {bar.percent:.0f} % {bar.doing}, {bar.detail}".rstrip(", ")
