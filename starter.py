"""The front doors: `serve` takes GitHub's webhooks; every other command is for a person at a terminal. No logic here."""

import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from activities import command_line
from activities.github.intake import temporal_acceptor, temporal_health, webhook_app
from activities.settings import DoorSettings, load_door_settings, load_settings, settings_file
from activities.skeema.local import LocalWorkspace
from activities.temporal import connect
from workflows.messages import PlanStatement

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

PullRequestArgument = Annotated[str, typer.Argument(metavar="PULL_REQUEST", help="https://github.com/owner/name/pull/1 or owner/name#1")]
WordsArgument = Annotated[list[str], typer.Argument(metavar="WORDS…", help="the command's own words")]
ANY_WORDS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command()
def serve() -> None:
    """Receive GitHub's webhooks."""
    settings = _settings()
    _exit(_serve(settings))


@app.command()
def start(pull_request: PullRequestArgument) -> None:
    """Look at a pull request now, as a webhook would have made it."""
    _exit(command_line.start_pull_request(_settings(), pull_request))


@app.command()
def sweep(repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="owner/name, which is enrolled")]) -> None:
    """Look at every open pull request of a repository now."""
    _exit(command_line.sweep_repository(_settings(), repository))


@app.command(context_settings=ANY_WORDS)
def command(
    pull_request: PullRequestArgument,
    words: WordsArgument,
    login: Annotated[str, typer.Option("--as", help="the GitHub login in whose name this is said")],
) -> None:
    """Say one command to a pull request, e.g. `command --as anna owner/name#1 retry-migration`; `help` lists them."""
    _exit(command_line.tell_pull_request(_settings(), pull_request, _line(words), login))


@app.command("add-repo", context_settings=ANY_WORDS)
def add_repo(words: WordsArgument) -> None:
    """Enrol: `add-repo owner/name (--owner-team TEAM | --codeowners on) --databases-team TEAM [--environments staging,production]
    [--base main] [--autorun on|off] [--instant on|off] [--quarantine-days 7]`."""
    _exit(command_line.change_registry(_settings(), _line(["add-repo", *words])))


@app.command("repo-map", context_settings=ANY_WORDS)
def repo_map(words: WordsArgument) -> None:
    """Say where a directory lives: `repo-map owner/name PATH --database D --environment E --cluster C --schema S`."""
    _exit(command_line.change_registry(_settings(), _line(["repo-map", *words])))


@app.command("repo-unmap", context_settings=ANY_WORDS)
def repo_unmap(words: WordsArgument) -> None:
    """Take such a mapping back: `repo-unmap owner/name PATH --environment E`."""
    _exit(command_line.change_registry(_settings(), _line(["repo-unmap", *words])))


@app.command("repo-autorun", context_settings=ANY_WORDS)
def repo_autorun(words: WordsArgument) -> None:
    """Let approved migrations run by themselves, or not: `repo-autorun owner/name on|off`."""
    _exit(command_line.change_registry(_settings(), _line(["repo-autorun", *words])))


@app.command("run-migration")
def run_migration(
    cluster: Annotated[str, typer.Option(help="a cluster of the inventory")],
    schema: Annotated[str, typer.Option(help="the schema on its servers")],
    statement: Annotated[str, typer.Option(help="one ALTER, CREATE or DROP TABLE")],
    *,
    allow_unsafe: Annotated[bool, typer.Option("--allow-unsafe", help="accept what the plan says is lost")] = False,
) -> None:
    """Send one statement by hand through the same queue. Exit 0 complete, 1 failed, 2 refused before it started."""
    ask = PlanStatement(cluster=cluster, schema=schema, statement=statement)
    _exit(command_line.run_migration(_settings(), ask, allow_unsafe=allow_unsafe))


@app.command()
def status(*, json: Annotated[bool, typer.Option("--json", help="for machines")] = False) -> None:
    """What runs and what waits."""
    _exit(command_line.show_status(_settings(), as_json=json))


@app.command()
def diff(
    base: Annotated[Path, typer.Option(help="the directory as it is", exists=True, file_okay=False)],
    head: Annotated[Path, typer.Option(help="the directory as it should be", exists=True, file_okay=False)],
    *,
    json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """The plan of a local change, without any GitHub. Exit 0 no change, 1 changes, 2 refused."""
    if settings_file().exists():
        _exit(_diff_with_settings(base, head, as_json=json))
    with _borrowed_workspace() as workspace:
        _exit(command_line.show_local_diff(workspace, base, head, as_json=json))


async def _diff_with_settings(base: Path, head: Path, *, as_json: bool) -> int:
    return await command_line.show_local_diff(
        await command_line.workspace_of(command_line.settings_or_exit(load_settings)), base, head, as_json=as_json
    )


def _borrowed_workspace() -> AbstractContextManager[LocalWorkspace]:
    """Without settings: a server of the embedded stack, for as long as this command runs."""
    sys.path.append(str(Path(__file__).parent / "temporal-dev"))
    try:
        from embedded.borrowed import borrowed_workspace  # noqa: PLC0415  (a checkout has it; a deployment has settings)
    except ImportError:
        raise SystemExit(command_line.refuse_without_settings()) from None
    return borrowed_workspace(lambda text: typer.echo(text, err=True))


async def _serve(settings: DoorSettings) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    client = await connect(settings.temporal)
    application = webhook_app(settings, temporal_acceptor(client, settings.timing), temporal_health(client))
    config = uvicorn.Config(application, host=settings.webhooks.host, port=settings.webhooks.port, log_level="warning")
    await uvicorn.Server(config).serve()
    return command_line.DONE


def _settings() -> DoorSettings:
    return command_line.settings_or_exit(load_door_settings)


def _line(words: list[str]) -> str:
    return command_line.as_line(words)


def _exit(work: command_line.Work) -> None:
    raise typer.Exit(command_line.run(work))


if __name__ == "__main__":
    command_line.leave_with(app)
