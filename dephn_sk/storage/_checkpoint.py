"""Checkpoints: the state of a fit on the disk, from which the same call goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from .. import training
from ..training._rows import Rows
from . import _fingerprint as fingerprint
from ._archive import MANIFEST, ModelFileError, read, write
from ._plain import flatten, restore

PREVIOUS, NEW, DAMAGED = ".previous", ".new", ".damaged"
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
# how a file of ours begins: the header of the first member, and its name
_BEGINNING = b"PK\3\4", 30, MANIFEST.encode()
_SHOWN = 60
_BEFORE = "the fit that warm_start goes on from"
# sums of what is made of X: they may be others because of labels, weights or the seed
_FOLLOWING = ("X", "the columns of X")


def keeper_of(checkpoint: Any = None, every: Any = 1) -> training.Keeper:
    """Who keeps a fit in a file, or nowhere."""
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
    disk; the one before stays as ``<path>.previous``. Whatever happens on the disk
    while training runs is a warning, and training goes on.

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
        self._is_damaged = self._has_failed = False
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
        except ModelFileError as error:
            reason, found = error, _contents_if_whole(before)
        if found is None and not _begins_as_ours(self.path):
            raise ValueError(
                f"checkpoint={str(self.path)!r} is a file of another kind. Give a path "
                "where no file is, or that of a checkpoint."
            ) from None
        self._is_damaged = True
        goes_on = "begins anew" if found is None else f"goes on from {str(before)!r}"
        warnings.warn(
            f"checkpoint={str(self.path)!r} is damaged ({reason}) Training {goes_on}; "
            f"the damaged file is kept as {str(self._beside(DAMAGED))!r}.",
            UserWarning,
            stacklevel=6,
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
        state, self._until = plan.begin(), plan.until
        self._fixed = self._about(plan)
        found, self._found = self._found, None
        if found is not None:
            self._check_same(found)
            state.resume(_unpacked(found["training"]))
        self._clean()
        self._written = time.monotonic()
        return state

    def after_step(self, state: training.TrainingState) -> None:
        if self.seconds is not None and self._is_due():
            self._write(state)

    def after_epoch(self, trainer: training.Trainer) -> None:
        state = trainer.state
        over = state.is_over or state.epoch >= self._until
        by_epochs = self.epochs is not None and state.epoch % self.epochs == 0
        if over or by_epochs or (self.seconds is not None and self._is_due()):
            self._write(state)

    def _is_due(self) -> bool:
        return time.monotonic() - self._written >= (self.seconds or 0)

    # ------------------------------------------------------------ what it is about

    def _about(self, plan: training.FitPlan) -> dict[str, Any]:
        """All that is the same in each state of a fit."""
        learned = plan.learned
        columns = fingerprint.columns_of(learned.encoder)
        own = {} if self._set_aside is None else {"valid": plan.valid}
        table = fingerprint.sums_of(plan.train, own.get("valid"))
        data: dict[str, Any] = {**self._given}
        if plan.valid is not None and not own:
            validation = fingerprint.sums_of(plan.valid)
            data |= {"X_val": validation["X"], "y_val": validation["y"]}
        if plan.before is not None:
            data[_BEFORE] = fingerprint.sum_of_fit(plan.before)
        data |= zip(_FOLLOWING, (table["X"], fingerprint.sum_of(columns)), strict=True)
        return {
            "versions": fingerprint.versions(),
            "parameters": fingerprint.parameters(learned.template, plan.train.device),
            "data": data,
            "seed": plan.seed,
            "set_aside": self._set_aside,
            "encoder": columns,
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
                "to begin anew, delete the file."
            )

    # ------------------------------------------------------------ writing

    def _write(self, state: training.TrainingState) -> None:
        """Let a new file take the place of the last one, which stays as the previous.

        Each of the three steps leaves a state under one of the two names.
        """
        new = self._beside(NEW)
        try:
            content = {**self._fixed, "training": _packed(state.state())}
            tree, arrays = flatten(content)
            write(new, {"checkpoint": tree}, arrays, {})
            if self.path.exists():
                ending = DAMAGED if self._is_damaged else PREVIOUS
                os.replace(self.path, self._beside(ending))
            os.replace(new, self.path)
        except (OSError, ValueError) as error:
            self._warn(error)
        else:
            self._is_damaged = self._has_failed = False
        self._written = time.monotonic()

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            warnings.warn(
                f"checkpoint={str(self.path)!r} cannot be written: {error} Training "
                "goes on, and tries again; until then the file stays as it was.",
                UserWarning,
                stacklevel=7,
            )
        self._has_failed = True

    def _clean(self) -> None:
        """Remove what a process that was killed while it wrote has left."""
        name = re.escape(self._beside(NEW).name)
        for file in self.path.parent.glob(f".{self.path.name}{NEW}.*.part"):
            if re.fullmatch(rf"\.{name}\.[0-9a-f]{{8}}\.part", file.name):
                with contextlib.suppress(OSError):
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
    if "checkpoint" not in manifest:
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
