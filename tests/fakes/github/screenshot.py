"""A picture of a page, taken by a headless Chromium: `python -m tests.fakes.github.screenshot URL FILE.png`.

Nothing else needs a browser; where there is none, the error says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 90.0
"""Seconds for one run of the browser."""


class NoBrowser(RuntimeError):  # noqa: N818  (the fact, not an accusation)
    """No Chromium could be found or run."""


def find_browser() -> str:
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise NoBrowser(
        f"no picture was taken: none of {', '.join(BROWSERS)} is on PATH. Install Chromium (Debian: apt-get install"
        " chromium) and run this again."
    )


def take(url: str, picture: Path, *, width: int = 1280, height: int | None = None) -> Path:
    """Save a PNG of a page of the stand-in, as tall as the page is unless `height` (pixels) says otherwise."""
    browser = find_browser()
    if height is None:
        dom = _run(browser, url, "--dump-dom", width=width, height=400)
        measured = re.search(r'data-height="(\d+)"', dom)
        height = int(measured[1]) if measured else 1400
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.unlink(missing_ok=True)
    words = _run(browser, url, f"--screenshot={picture.resolve()}", "--hide-scrollbars", width=width, height=height)
    if not picture.exists():
        raise NoBrowser(f"{browser} took no picture of {url}: {words[-500:]}")
    return picture


def _run(browser: str, url: str, *options: str, width: int, height: int) -> str:
    with tempfile.TemporaryDirectory(prefix="screenshot-") as profile:
        result = subprocess.run(
            [
                browser,
                "--headless=new",
                "--disable-gpu",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium will not start as root otherwise
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                "--virtual-time-budget=1500",
                *options,
                url,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    return result.stdout or result.stderr


if __name__ == "__main__":
    try:
        print(take(sys.argv[1], Path(sys.argv[2])))
    except IndexError:
        sys.exit("usage: python -m tests.fakes.github.screenshot URL FILE.png")
    except NoBrowser as error:
        sys.exit(str(error))
