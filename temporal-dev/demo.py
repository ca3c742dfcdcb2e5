"""`make demo`: a pull request becomes an altered table, on real MySQL, gh-ost, skeema, git and Temporal; only GitHub is stood in for.

Ends with `demo: passed` and exit code 0, or with `demo: FAILED`, the line that failed, and exit code 1. KEEP=1 leaves everything running.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "temporal-dev")]

from demonstration.evidence import gather  # noqa: E402 - the path comes first, so that the file can be run from anywhere
from demonstration.keep import tell_where, until_told  # noqa: E402
from demonstration.screen import Screen  # noqa: E402
from demonstration.script import Script  # noqa: E402
from demonstration.stage import Missed, Theatre, keep_logs  # noqa: E402
from embedded.processes import ProcessFailedError  # noqa: E402
from embedded.product import EnrolmentFailedError  # noqa: E402
from embedded.tools import ToolMissingError  # noqa: E402

ORDERS = 300_000
SAID = (ProcessFailedError, ToolMissingError, EnrolmentFailedError)
"""Errors whose text says all that a person needs."""
LOGS = ROOT / "build" / "demo"


async def main(*, keep: bool) -> int:
    with Screen() as screen:
        screen.act(1, "The stage: real parts, and a GitHub of our own")
        theatre = Theatre(screen, orders=ORDERS, ui=keep)
        try:
            async with theatre:
                failed = await whole_story(theatre)
                verdict(screen, failed)
                if keep:
                    tell_where(theatre)
                    await until_told(screen)
        except Exception as trouble:
            failed = str(trouble)
            if not isinstance(trouble, SAID):
                screen.console.print_exception()
                failed = f"{type(trouble).__name__}: {trouble}"
            verdict(screen, failed)
    return 1 if failed else 0


async def whole_story(theatre: Theatre) -> str:
    """Returns the first line that failed, "" where none did; a failure leaves the logs where they can be read."""
    try:
        failed = await perform(theatre)
    except Missed as missed:
        failed = str(missed)
    except Exception as trouble:
        theatre.screen.console.print_exception()
        failed = f"{type(trouble).__name__}: {trouble}"
    if failed:
        theatre.screen.plain(theatre.product.logs(), style="dim")
        theatre.screen.plain(f"The whole logs are in {keep_logs(theatre, LOGS)}")
    return failed


async def perform(theatre: Theatre) -> str:
    """Returns the first line that failed, "" where none did."""
    script = Script(theatre)
    await script.play()
    theatre.screen.act(8, "What was proven")
    failed = ""
    for proof in gather(script):
        theatre.screen.proof(proof)
        failed = failed or ("" if proof.ok else proof.text)
    return failed


def verdict(screen: Screen, failed: str) -> None:
    if failed:
        screen.verdict(f"demo: FAILED  {failed}", ok=False)
    else:
        screen.plain(f"\n{screen.seconds:.0f} s", style="dim")
        screen.verdict("demo: passed", ok=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end is ended: whatever was started is tidied away
    try:
        code = asyncio.run(main(keep=os.environ.get("KEEP", "") not in {"", "0", "no"}))
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
