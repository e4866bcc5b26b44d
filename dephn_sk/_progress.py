"""How far something is, for people: in a terminal, a notebook, a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any, Self


class File:
    """Where lines stay: a file, a pipe, whatever is no screen."""

    every = 30.0  # seconds from line to line
    stays = True

    def __init__(self, out: Any) -> None:
        self.out = out

    def show(self, text: str) -> None:
        """A line, in the place of the one before where that can be."""
        self.keep(text)

    def keep(self, text: str) -> None:
        """The last line of all."""
        print(text, file=self.out, flush=True)

    def leave(self) -> None:
        """Let whatever is printed next begin a line."""


class Terminal(File):
    """A line that is written over."""

    every, stays = 0.5, False
    _width = 0  # of what stands there

    def show(self, text: str) -> None:
        # a line that wraps cannot be written over
        text = text[: shutil.get_terminal_size().columns - 1]
        self._over(text, end="")
        self._width = len(text)

    def keep(self, text: str) -> None:
        self._over(text, end="\n")
        self._width = 0

    def leave(self) -> None:
        if self._width:
            super().keep("")

    def _over(self, text: str, end: str) -> None:
        print("\r" + text.ljust(self._width), end=end, file=self.out, flush=True)


class Notebook(File):
    """An output that changes."""

    every, stays = 0.5, False
    _handle: Any = None

    def keep(self, text: str) -> None:
        from IPython.display import display

        shown = {"text/plain": text}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def screen_of(out: Any) -> File:
    """How lines are written there.

    >>> import io
    >>> screen_of(io.StringIO()).every
    30.0
    """
    # what a notebook redirects is another stream, and no notebook
    if type(out).__module__.startswith("ipykernel"):
        return Notebook(out)
    return Terminal(out) if getattr(out, "isatty", bool)() else File(out)


class Line:
    """A line about what takes its time.

    In a terminal it is written over, a notebook has one output that changes, and
    elsewhere there are few lines, which stay. Leaving its block leaves a fresh line.

    Parameters
    ----------
    shown : bool
        Whether anything is printed.
    """

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self._screen = screen_of(sys.stdout) if shown else File(None)
        self.start()

    def start(self) -> None:
        """Time runs from now on."""
        self.begun = self._said = monotonic()

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return monotonic() - self.begun

    def say(self, text: Callable[[], str], *, keeps: bool = False) -> None:
        """Show it, if that is due; what a file `keeps` is due there anyway."""
        if not self.shown:
            return
        now = monotonic()
        due = keeps and self._screen.stays
        if due or now - self._said >= self._screen.every:
            self._said = now
            self._screen.show(text())

    def keep(self, text: str) -> None:
        """Say it in the end."""
        if self.shown:
            self._screen.keep(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.shown:
            self._screen.leave()


class Progress(Line):
    """A line that says how many rows a pass has seen, and how long it will still take.

    Where its block ends well, a last line says how long it took.

    Parameters
    ----------
    what : str
        The pass, such as ``"count"``.
    n_rows : int
    shown : bool
        Whether anything is printed.
    """

    def __init__(self, what: str, n_rows: int, shown: bool) -> None:
        super().__init__(shown)
        self.what = what
        self.n_rows = n_rows
        self.seen = 0

    def add(self, n_rows: int) -> None:
        """Some more rows were seen."""
        self.seen += n_rows
        self.say(lambda: self.line(self.passed))

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
        return f"{told}, {clock(left)} left"

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            took = self.passed
            rate = self.seen / max(took, 1e-9)
            line = f"{self.what}: {self.seen:,} rows in {clock(took)}"
            self.keep(f"{line}, {rate:,.0f} rows/s")
        super().__exit__(kind, error, trace)


class EpochProgress(Line):
    """A line that says how far the epochs are, and how long they may still take.

    A file has a line for each epoch. Where its block ends by an error or by Ctrl-C, a
    last line says where.

    Parameters
    ----------
    n_epochs, n_rows : int
        Epochs there are to be, with those before, and rows of each: that train, and
        that validate.
    shown : bool
        Whether anything is printed.
    what : str
        What the line begins with.
    watched : str
        What the value of an epoch is.
    stops : bool
        Whether fewer epochs may be enough.
    """

    def __init__(
        self,
        n_epochs: int,
        n_rows: int,
        shown: bool,
        *,
        what: str = "",
        watched: str = "train loss",
        stops: bool = False,
    ) -> None:
        super().__init__(shown)
        self.n_epochs = n_epochs
        self.n_rows = n_rows
        self.what = what
        self.watched = watched
        self.stops = stops
        self.epoch = 0  # that are done
        self._seen = self._within = 0  # rows: since it began, and of this epoch
        self.come_to = ""

    def begin(self, epoch: int, n_rows: int = 0) -> None:
        """It goes on after so many epochs, and rows of the next."""
        self.epoch, self._within = epoch, n_rows
        self.start()

    def add(self, n_rows: int) -> None:
        """Some more rows of an epoch were seen."""
        self._seen += n_rows
        self._within += n_rows
        self.say(lambda: self.line(self.passed))

    def end_epoch(
        self,
        value: float,
        best: float | None = None,
        epoch: int = 0,
        *,
        keeps: bool = True,
    ) -> None:
        """An epoch came to a value; the best so far is that of an `epoch`."""
        self.come_to = f"{self.watched} {value:.4f}"
        if best is not None:
            self.come_to += f" (best {best:.4f}, epoch {epoch})"
        self._within = self.n_rows
        self.say(lambda: self.line(self.passed), keeps=keeps)
        self.epoch, self._within = self.epoch + 1, 0

    def line(self, passed: float) -> str:
        """What is said after so many seconds.

        >>> told = EpochProgress(20, 1000, False, watched="valid loss", stops=True)
        >>> told.add(1000)
        >>> told.end_epoch(0.43, best=0.43, epoch=1)
        >>> told.add(250)
        >>> told.line(10.0)
        'epoch 2/20  25%  at most 2:30 left  valid loss 0.4300 (best 0.4300, epoch 1)'
        """
        parts = [f"{self.what}epoch {self.epoch + 1}/{self.n_epochs}"]
        if self._within < self.n_rows:
            parts.append(f"{self._within / self.n_rows:.0%}")
        rows_left = (self.n_epochs - self.epoch) * self.n_rows - self._within
        if rows_left > 0 and self._seen:
            left = clock(passed * rows_left / self._seen)
            parts.append(f"at most {left} left" if self.stops else f"{left} left")
        return "  ".join(filter(None, [*parts, self.come_to]))

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            interrupted = isinstance(error, KeyboardInterrupt)
            why = "interrupted" if interrupted else f"ended by {type(error).__name__}"
            epoch = min(self.epoch + 1, self.n_epochs)
            told = f"{self.what}{why} in epoch {epoch} of {self.n_epochs}"
            self.keep(f"{told}, after {clock(self.passed)}")
        super().__exit__(kind, error, trace)


def epochs_in_words(n: int) -> str:
    """So many epochs, in words.

    >>> epochs_in_words(1), epochs_in_words(60)
    ('1 epoch', '60 epochs')
    """
    return f"{n} epoch" if n == 1 else f"{n} epochs"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(5), clock(3725)
    ('0:05', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
