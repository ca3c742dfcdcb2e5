"""What can be looked at and typed while the demo is left running."""

import asyncio
import signal
import sys

from rich.table import Table
from rich.text import Text

from demonstration.acme import REPOSITORY
from demonstration.screen import Screen
from demonstration.stage import Theatre
from embedded.product import ROOT
from workflows import addresses


def tell_where(theatre: Theatre) -> None:
    """The pages, and commands that work as they are printed."""
    screen = theatre.screen
    pages = Table.grid(padding=(0, 2))
    if theatre.pull is not None:
        pages.add_row("Pull request", Text(page_of(theatre), style="cyan"))
    pages.add_row("Temporal", Text(theatre.stack.temporal.ui_url, style="cyan"))
    pages.add_row("Logs, settings", Text(str(theatre.product.folder), style="cyan"))
    screen.show(pages, title="Left running")
    if theatre.pull is None:
        return
    for title, commands in to_try(theatre).items():
        screen.plain(f"# {title}", style="dim")
        for command in commands:
            screen.plain(command)
        screen.plain("")


def to_try(theatre: Theatre) -> dict[str, list[str]]:
    """What it shows → commands."""
    temporal = f"{theatre.stack.tools.temporal} workflow"
    there = f"--address {theatre.stack.temporal.address}"
    pull = addresses.pull_request(theatre.ref)
    first = next(iter(theatre.primaries))
    queries = (
        f"Repository = '{REPOSITORY}'",
        f"PullRequest = '{theatre.ref}'",
        f"SchemaState = '{theatre.stage.value}'",
        "Clusters = 'production'",
        "WorkflowType = 'ClusterQueue'",
    )
    starter = f"SKEEBOT_SETTINGS={theatre.product.settings} PYTHONPATH={ROOT} {sys.executable} {ROOT / 'starter.py'}"
    return {
        "which schema changes there are": [f'{temporal} list {there} --query "{query}"' for query in queries],
        "the story in words, and in events": [
            f"{temporal} describe {there} -w {pull}",
            f"{temporal} show {there} -w {pull}",
            f"{temporal} describe {there} -w cluster-queue/{first}",
        ],
        "what the pull request's workflow shows GitHub": [f"{temporal} query {there} -w {pull} --type view"],
        "skeebot's own command line": [f"{starter} status"],
    }


def page_of(theatre: Theatre) -> str:
    return f"{theatre.github.html_url}/{REPOSITORY}/pull/{theatre.ref.number}"


async def until_told(screen: Screen) -> None:
    """Ctrl-C (or SIGTERM) ends it."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    screen.plain("Everything goes when you press Ctrl-C.", style="bold")
    await told.wait()
