"""`make screenshot`: the README's picture of a pull request while its tables are being copied, by a headless Chromium.

Plays the demo up to that moment, or takes the page of one that runs: `screenshot.py http://127.0.0.1:PORT/acme/shop/pull/1`.
"""

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "temporal-dev")]

from demonstration.keep import page_of  # noqa: E402 - the path comes first, so that the file can be run from anywhere
from demonstration.screen import Screen  # noqa: E402
from demonstration.script import Script  # noqa: E402
from demonstration.stage import Missed, Theatre  # noqa: E402
from embedded.processes import ProcessFailedError  # noqa: E402
from embedded.product import EnrolmentFailedError  # noqa: E402
from embedded.tools import ToolMissingError  # noqa: E402
from tests.fakes.github.screenshot import NoBrowser, find_browser, take  # noqa: E402

PICTURE = ROOT / "docs" / "pull-request.png"
WIDTH, HEIGHT = 1280, 1880
"""Pixels: the comment with its bars, the first review, and the push that outran it; the whole page is three times as long."""
ORDERS = 300_000


async def play() -> None:
    """As far as production is half copied, and take the picture there."""
    with Screen() as screen:
        screen.act(1, "The stage: real parts, and a GitHub of our own")
        async with Theatre(screen, orders=ORDERS, ui=False) as theatre:
            script = Script(theatre)
            await script.play_until_half_way()
            await asyncio.to_thread(take, page_of(theatre), PICTURE, width=WIDTH, height=HEIGHT)
            screen.says("chromium", f"took {PICTURE.relative_to(ROOT)}", "good")


def main(*urls: str) -> int:
    try:
        find_browser()  # before anything is started
        if urls:
            print(take(urls[0], PICTURE, width=WIDTH, height=HEIGHT))
        else:
            asyncio.run(play())
    except (NoBrowser, Missed, ProcessFailedError, EnrolmentFailedError, ToolMissingError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
