"""Checkpoints: the state of a fit on the disk, from which the same call goes on."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from .. import training
from .._compat import warn
from .._progress import epochs_in_words
from ..training._ranks import NONE
from ..training._rows import Rows
from . import _fingerprint as fingerprint
from ._archive import MANIFEST, ModelFileError, NewerFormatError, read, write
from ._model import save
from ._plain import flatten, restore
from ._several import KeeperOfRanks

PREVIOUS, BEST, NEW, DAMAGED = ".previous", ".best", ".new", ".damaged"
_KIND = "checkpoint"
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
# how a file of ours begins: the header of the first member, and its name
_BEGINNING = b"PK\3\4", 30, MANIFEST.encode()
_SHOWN = 60
_BEFORE = "the fit that warm_start goes on from"
# sums of what is made of X: they may be others because of labels, weights or the seed
_FOLLOWING = ("X", "the columns of X")


def keeper_of(
    checkpoint: Any = None, every: Any = 1, *, ranks: training.Ranks = NONE
) -> training.Keeper:
    """Who keeps a fit in a file, or nowhere; of several processes, rank 0 does."""
    if ranks is not NONE:
        return KeeperOfRanks(ranks, lambda: keeper_of(checkpoint, every))
    if checkpoint is not None:
        return Checkpoint(checkpoint, every)
    if every != 1:
        raise ValueError(
            f"checkpoint_every={every!r} is given without a file; set checkpoint, too."
        )
    return training.Keeper()


class Checkpoint(training.Keeper):
    """Writes the state of a fit as it goes on, and lets the same fit go on from there.

    A new state is written beside the file, and takes its place when all of it is on the
    disk; the one before stays as ``<path>.previous``. ``<path>.best`` is a model, of
    the best epoch so far. Whatever happens on the disk while training runs is a
    warning, and training goes on.

    Parameters
    ----------
    path : str or PathLike
    every : int or str
        Epochs between two states, or seconds as ``"30s"``.

    Raises
    ------
    ValueError
        For a path or an interval that cannot be, and for a file that is another's.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | str = 1) -> None:
        self.path = _checked_path(path)
        self.epochs, self.seconds = _interval(every)
        self.after_step = None if self.seconds is None else self._after_step
        self._is_damaged = False
        self._failed: set[Path] = set()  # what the user has been warned of
        self._best = 0
        self._within = False  # whether a state was written within this epoch
        self._found = self._read()
        self.seed = None if self._found is None else self._found["training"]["seed"]
        self._given: dict[str, str] = {}
        self._set_aside: Any = None

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    # ------------------------------------------------------------ what is there

    def _read(self) -> dict[str, Any] | None:
        """What the newest state that can be read holds, if there is one."""
        before = self._beside(PREVIOUS)
        try:
            return _contents(self.path)
        except FileNotFoundError:
            return _contents_if_whole(before)
        except NewerFormatError:
            raise
        except ModelFileError as error:
            reason, found = error, _contents_if_whole(before)
        if found is None and not _begins_as_ours(self.path):
            raise ValueError(
                f"checkpoint={str(self.path)!r} is a file of another kind. Give a path "
                "where no file is, or that of a checkpoint."
            ) from None
        self._is_damaged = True
        goes_on = "begins anew" if found is None else f"goes on from {str(before)!r}"
        warn(
            f"checkpoint={str(self.path)!r} is damaged ({reason}) Training {goes_on}; "
            f"the damaged file is kept as {str(self._beside(DAMAGED))!r}.",
        )
        return found

    # ------------------------------------------------------------ while a fit runs

    def see_rows(self, rows: Rows, groups: Any) -> None:
        self._given = fingerprint.rows_given(rows, groups)
        if len(rows.valid):
            mask = np.zeros(len(rows.labels), dtype=bool)
            mask[rows.valid] = True
            self._set_aside = np.packbits(mask)

    def begin(self, plan: training.FitPlan) -> training.TrainingState:
        state, self._plan = plan.begin(), plan
        self._fixed = self._about(plan)
        found, self._found = self._found, None
        if found is not None:
            self._check_same(found)
            state.resume(_unpacked(found["training"]))
            if plan.learned.template.verbose and not plan.ranks.rank:
                done = epochs_in_words(found["training"]["epoch"])
                print(f"goes on from {str(self.path)!r}, after {done}")
        self._clean()
        self._written = time.monotonic()
        return state

    def _after_step(self, state: training.TrainingState) -> None:
        if self._is_due():
            self._write(state)
            self._within = True

    def after_epoch(self, trainer: training.Trainer) -> None:
        state = trainer.state
        over = state.is_over or state.epoch >= self._plan.until
        by_epochs = self.epochs is not None and state.epoch % self.epochs == 0
        due = over or by_epochs or self._is_due()
        if due or self._within:
            self._write_best(state)  # first: a state on the disk has a best one there
            self._within = False
        if due:
            self._write(state)

    def _is_due(self) -> bool:
        """Whether seconds are counted, and enough of them have passed."""
        if self.seconds is None:
            return False
        return time.monotonic() - self._written >= self.seconds

    # ------------------------------------------------------------ what it is about

    def _about(self, plan: training.FitPlan) -> dict[str, Any]:
        """All that is the same in each state of a fit."""
        learned = plan.learned
        own = {} if self._set_aside is None else {"valid": plan.valid}
        table = fingerprint.sums_of(plan.train, own.get("valid"))
        data: dict[str, Any] = {**self._given}
        if not data:  # of a log
            data["y"] = table["y"]
        if plan.valid is not None and not own:
            validation = fingerprint.sums_of(plan.valid)
            data |= {"X_val": validation["X"], "y_val": validation["y"]}
        if plan.before is not None:
            data[_BEFORE] = fingerprint.sum_of_fit(plan.before)
        columns = fingerprint.columns_of(learned.encoder) or (None, {})
        following = table["X"], fingerprint.sum_of_flat(*columns)
        data |= zip(_FOLLOWING, following, strict=True)
        return {
            "versions": fingerprint.versions(),
            "parameters": fingerprint.parameters(learned.template, plan.train.device),
            "data": data,
            "seed": plan.seed,
            "set_aside": self._set_aside,
            "encoder": list(columns),
            "tasks": learned.tasks.state(),
            "edges": learned.edges,
            "start": learned.start,
        }

    def _check_same(self, found: Mapping[str, Any]) -> None:
        """Refuse to mix two fits."""
        here = self._fixed
        differing = [
            f"{name}{sign}{_short(ours)} (there {_short(others)})"
            for part, sign in (("parameters", "="), ("versions", " "))
            for name, ours, others in _differences(here[part], found[part])
        ]
        other_seed = here["seed"] != found["seed"]
        if other_seed and here["parameters"] == found["parameters"]:
            differing.append("random_state, which gives another seed")
        data = [name for name, *_ in _differences(here["data"], found["data"])]
        causes = [name for name in data if name not in _FOLLOWING]
        differing += causes or ([] if other_seed else data[:1])
        if differing:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is of another fit. What differs: "
                f"{'; '.join(differing)}. Give what was given then, or another path; "
                f"to begin anew, delete it and {self._beside(PREVIOUS).name!r}."
            )

    # ------------------------------------------------------------ writing

    def _write(self, state: training.TrainingState) -> None:
        """Let a new file take the place of the last one, which stays as the previous.

        Each of the three steps leaves a state under one of the two names.
        """
        new = self._beside(NEW)
        with self._warned(self.path):
            content = {**self._fixed, "training": _packed(state.state())}
            tree, arrays = flatten(content)
            kind = {"kind": _KIND, "versions": self._fixed["versions"]}
            write(new, {**kind, "checkpoint": tree}, arrays, {})
            if self.path.exists():
                ending = DAMAGED if self._is_damaged else PREVIOUS
                os.replace(self.path, self._beside(ending))
            os.replace(new, self.path)
            self._is_damaged = False
        self._written = time.monotonic()

    def _write_best(self, state: training.TrainingState) -> None:
        """Write the model of the best epoch, or the last, where it is a new one."""
        kept = None if state.stopping is None else state.stopping.epoch
        epoch = state.epoch if kept is None else kept
        if epoch == self._best:
            return
        learned, best = self._plan.learned, self._beside(BEST)
        model = copy.copy(learned.template)
        model.callbacks = None  # which files do not hold, and predictions do not need
        model._fitted = training.FittedModel(learned, state.best(), state, kept)
        with self._warned(best):
            save(model, best)
            self._best = epoch

    @contextlib.contextmanager
    def _warned(self, path: Path) -> Iterator[None]:
        """Warn of a file that cannot be written, once until it can be."""
        try:
            yield
        except (OSError, ValueError) as error:
            if path not in self._failed:
                warn(
                    f"{str(path)!r} cannot be written: {error} Training goes on; what "
                    "was there before stays.",
                )
            self._failed.add(path)
        else:
            self._failed.discard(path)

    def _clean(self) -> None:
        """Remove what a process that was killed while it wrote has left."""
        for name in (self._beside(NEW).name, self._beside(BEST).name):
            half = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.part")
            with contextlib.suppress(OSError):
                for file in self.path.parent.iterdir():
                    if half.fullmatch(file.name):
                        file.unlink()


def _checked_path(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"checkpoint={path!r} must be the path of a file.")
    checked = Path(os.path.realpath(path))
    if checked.is_dir():
        raise ValueError(f"checkpoint={str(path)!r} is a folder; give a file in it.")
    if not checked.parent.is_dir():
        raise ValueError(
            f"checkpoint={str(path)!r} is in a folder that does not exist; make it."
        )
    return checked


def _interval(every: Any) -> tuple[int | None, float | None]:
    """Epochs or seconds."""
    if isinstance(every, Integral) and not isinstance(every, bool) and int(every) >= 1:
        return int(every), None
    if isinstance(every, str) and (match := _SECONDS.fullmatch(every)):
        return None, float(match[1])
    raise ValueError(
        f"checkpoint_every={every!r} must be a number of epochs, at least 1, or of "
        "seconds, such as '30s'."
    )


def _contents(path: Path) -> dict[str, Any]:
    manifest, arrays, _ = read(path)
    if manifest.get("kind") != _KIND:
        raise ValueError(
            f"checkpoint={str(path)!r} is a file of dephn_sk, but no checkpoint. Give "
            "another path."
        )
    contents: dict[str, Any] = restore(manifest["checkpoint"], arrays)
    return contents


def _contents_if_whole(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return _contents(path)
    return None


def _begins_as_ours(path: Path) -> bool:
    """Whether a file is the beginning of one of ours; an empty one is."""
    head, place, name = _BEGINNING
    with open(path, "rb") as file:
        begins = file.read(place + len(name))
    return (
        begins[: len(head)] == head[: len(begins)]
        and begins[place:] == name[: max(0, len(begins) - place)]
    )


def _packed(state: dict[str, Any]) -> dict[str, Any]:
    """The state with its history, which may be long, as the bytes of a JSON text."""
    tree, arrays = flatten([state["history"], state["record"]])
    if arrays:  # that callbacks have recorded
        return state
    packed = np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8)
    return {**state, "history": packed, "record": None}


def _unpacked(state: dict[str, Any]) -> dict[str, Any]:
    if isinstance(state["history"], list):
        return state
    history, record = restore(json.loads(state["history"].tobytes()), {})
    return {**state, "history": history, "record": record}


def _differences(
    here: Mapping[str, str], there: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Names with another text, and both texts."""
    for name in {**here, **there}:
        if here.get(name) != there.get(name):
            yield name, here.get(name), there.get(name)


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
