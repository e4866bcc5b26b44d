"""How far a pass over a log is, for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_OFTEN, _SELDOM = 0.5, 30.0  # seconds between two lines that are shown, or kept


class Progress:
    """A line that says how many rows a pass has seen, and how long it will still take.

    In a terminal and in a notebook the line is written over; elsewhere, as in a file,
    there is a new one every half minute, and one at the end.

    Parameters
    ----------
    what : str
        The pass, such as ``"count"``.
    n_rows : int
    shown : bool
        Whether anything is printed.
    """

    def __init__(self, what: str, n_rows: int, shown: bool) -> None:
        self.what = what
        self.n_rows = n_rows
        self.shown = shown
        self.seen = 0
        self.begun = self.said = time.monotonic()
        self._width = 0
        self._live = bool(shown and (sys.stdout.isatty() or "ipykernel" in sys.modules))

    def add(self, n_rows: int) -> None:
        """Some more rows were seen."""
        self.seen += n_rows
        if not self.shown:
            return
        now = time.monotonic()
        if now - self.said >= (_OFTEN if self._live else _SELDOM):
            self.said = now
            self._print(self.line(now - self.begun), end="\r" if self._live else "\n")

    def end(self) -> None:
        """The pass is over."""
        if self.shown:
            took = time.monotonic() - self.begun
            rate = self.seen / max(took, 1e-9)
            line = f"{self.what}: {self.seen:,} rows in {_clock(took)}"
            self._print(f"{line}, {rate:,.0f} rows/s", end="\n")

    def line(self, passed: float) -> str:
        """What is said after so many seconds.

        >>> progress = Progress("count", 1000, False)
        >>> progress.add(250)
        >>> progress.line(10.0)
        'count: 250 of 1,000 rows (25%), 0:30 left'
        """
        share = self.seen / max(self.n_rows, 1)
        left = passed * (1 - share) / share if share else 0.0
        told = f"{self.what}: {self.seen:,} of {self.n_rows:,} rows ({share:.0%})"
        return f"{told}, {_clock(left)} left"

    def _print(self, line: str, end: str) -> None:
        print(line.ljust(self._width) if self._live else line, end=end, flush=True)
        self._width = len(line)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress(what: str, n_rows: int, shown: bool) -> Iterator[Progress]:
    """A Progress that ends with the block, where that ends well."""
    one = Progress(what, n_rows, shown)
    yield one
    one.end()
