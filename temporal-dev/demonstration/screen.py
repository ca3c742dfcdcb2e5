"""The terminal: acts, lines with the person who acts, pictures, and at the bottom what is going on and waited for."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demonstration.acme import ROLES
from demonstration.feed import CHECKS, GHOST, SKEEBOT, Line
from demonstration.pictures import Bar, bar_in_words, bars_picture
from demonstration.proofs import Proof

WIDEST: Final = 104
"""Columns."""
_COLOURS: Final[Mapping[str, str]] = {
    SKEEBOT: "green",
    CHECKS: "blue",
    GHOST: "bright_blue",
    "dave": "cyan",
    "oscar": "yellow",
    "dana": "magenta",
}
_TONES: Final[Mapping[str, str]] = {"": "", "good": "green", "bad": "bold red", "waiting": "yellow"}


class Screen:
    """A context manager; without a terminal that can redraw, bars become a line at each quarter."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.console.width = min(self.console.width, WIDEST)
        self.began = time.monotonic()
        self.bars: Sequence[Bar] = ()
        self._waiting = ""
        self._since = 0.0
        self._quarters: dict[tuple[str, str], int] = {}
        self._spinner = Spinner("dots", style="dim")
        self._live = Live(
            get_renderable=self._bottom,
            console=self.console,
            transient=True,
            refresh_per_second=5,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting, self.bars = "", ()
        self._live.stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    # ── What is said once

    def act(self, number: int, title: str) -> None:
        self.console.print()
        self.console.print(Rule(Text(f"{number}  {title}", style="bold"), align="left", style="dim"))

    def line(self, line: Line) -> None:
        role = ROLES.get(line.actor, "")
        who = Text.assemble((line.actor, f"bold {_COLOURS.get(line.actor, '')}"), (f" {role}" if role else "", "dim"))
        row = Table.grid(padding=(0, 1))
        row.add_column(width=6, justify="right")
        row.add_column(width=16, no_wrap=True)
        row.add_column(ratio=1)
        row.add_row(Text(f"{self.seconds:.1f}", style="dim"), who, Text(line.text, style=_TONES[line.tone]))
        self.console.print(row)

    def says(self, actor: str, text: str, tone: str = "") -> None:
        self.line(Line(actor, text, tone))

    def show(self, picture: RenderableType, *, title: str = "") -> None:
        panel = Panel(picture, title=title or None, title_align="left", border_style="dim", padding=(1, 2))
        self.console.print(Padding(panel, (1, 0)))

    def proof(self, proof: Proof) -> None:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=3, justify="right")
        row.add_column(ratio=1)
        row.add_row(
            Text("✓" if proof.ok else "✗", style="bold green" if proof.ok else "bold red"),
            Text(proof.text, style="" if proof.ok else "red"),
        )
        self.console.print(row)

    def verdict(self, text: str, *, ok: bool) -> None:
        """The last line, whole and by itself: programs look for it."""
        self.console.print()
        self.console.print(text, style="bold green" if ok else "bold red", markup=False, soft_wrap=True)

    def plain(self, text: str, style: str = "") -> None:
        """Words as they are, not wrapped: commands and logs are copied from the terminal."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    # ── What moves

    def wait_for(self, what: str) -> None:
        """Shown at the bottom until something else is waited for ("": nothing)."""
        self._waiting, self._since = what, time.monotonic()

    def draw(self, bars: Sequence[Bar]) -> None:
        self.bars = bars
        if self.console.is_terminal:
            return
        for bar in bars:
            quarter = int(bar.percent // 25)
            if self._quarters.get((bar.place, bar.doing), 0) < quarter < 4:  # the end of each has a line of its own
                self._quarters[bar.place, bar.doing] = quarter
                self.says(GHOST, bar_in_words(bar))

    def _bottom(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self.bars:
            parts += [Text(), bars_picture(self.bars)]
        if self._waiting:
            self._spinner.update(text=Text(f"waiting for {self._waiting} ({time.monotonic() - self._since:.0f} s)", style="dim"))
            parts += [Text(), Padding(self._spinner, (0, 0, 0, 3))]
        return Group(*parts)
