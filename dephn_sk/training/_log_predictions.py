"""Predictions of the rows of a log: batch by batch, and into files."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from .._progress import Progress
from ..logs import Chunk, Log, as_log, is_log
from ..tasks import PREDICT_BLOCK, Tasks, features_of
from ._fitted import FittedModel
from ._threads import threads

MANIFEST = "_predictions.json"  # which readers of the folder pass over
_PART = "part-{:06d}.parquet"


class LogPredictions:
    """Mixin of fitted estimators: what they say of rows outside memory."""

    n_threads: int | str | None
    verbose: Any

    def predict_batches(self, log: Any) -> Iterator[Any]:
        """Predict the rows of a log, some at a time, in order.

        Parameters
        ----------
        log : Log, pyarrow.dataset.Dataset, polars.LazyFrame or callable
            With the columns of `fit`; others are not read.

        Yields
        ------
        ndarray or list of ndarray
            What `predict_proba` gives of the next rows; of an estimator of numbers,
            what `predict` gives.
        """
        fitted, log = self._learned(), _log(log)  # type: ignore[attr-defined]
        several = fitted.tasks.numeric
        for chunk in _chunks(fitted, log, (), 0):
            X = chunk.table.select(_features(fitted, log))
            with threads(self.n_threads):
                yield (self.predict if several else self.predict_proba)(X)  # type: ignore[attr-defined]

    def write_predictions(
        self,
        log: Any,
        path: str | os.PathLike[str],
        columns: Sequence[str] = (),
        *,
        rows_per_part: int = 2**20,
    ) -> list[Path]:
        """Write predictions of the rows of a log as Parquet files, in order.

        Each file is written beside its name, and takes it when it is whole. Where a
        call was interrupted, the same call goes on after the last whole file. Of a
        query, an iterator and tables in memory nothing tells whether the rows are the
        same as before, and it begins anew.

        Parameters
        ----------
        log : Log, pyarrow.dataset.Dataset, polars.LazyFrame or callable
            With the columns of `fit`, and `columns`; others are not read.
        path : path
            A folder; it is made.
        columns : sequence of str, default=()
            Columns of the log that are written beside the predictions.
        rows_per_part : int, default=2**20
            Rows of a file.

        Returns
        -------
        list of Path
            The files ``part-000000.parquet``, ... They hold ``p_<task>`` of a task of
            two classes, the probability of the second; ``p_<task>=<class>`` of each
            class of others; ``predicted_<task>`` of a number: the float64 numbers of
            `predict_proba` and `predict`.

        Raises
        ------
        ValueError
            Where the folder holds predictions of another model, or of other rows.
        """
        fitted = self._learned()  # type: ignore[attr-defined]
        return _written(self, fitted, _log(log), Path(path), columns, rows_per_part)


def _written(
    estimator: Any,
    fitted: FittedModel,
    log: Log,
    folder: Path,
    columns: Sequence[str],
    size: int,
) -> list[Path]:
    """The files of predictions, of which those that are missing are written."""
    for name in columns:
        log.check_name(name, "columns")
    none = np.empty((0, sum(fitted.tasks.n_outputs)))
    if taken := sorted(set(columns) & named_predictions(fitted.tasks, none).keys()):
        raise ValueError(
            f"columns names {taken}, as predictions are called; rename these columns."
        )
    if size < 1:
        raise ValueError(f"rows_per_part={size} must be at least 1.")
    folder.mkdir(parents=True, exist_ok=True)
    about = _about(fitted, log, columns, size)
    _check_manifest(folder, about)
    starts = range(0, log.n_rows, size)
    paths = [folder / _PART.format(i) for i in range(len(starts))]
    whole = (
        _is_whole(path, min(size, log.n_rows - start))
        for path, start in zip(paths, starts, strict=True)
    )
    done = next((i for i, one in enumerate(whole) if not one), len(paths))
    if about["log"] is None:  # nothing tells whether its rows are those of the files
        done = 0
    first = min(done * size, log.n_rows)
    with Progress("predict", log.n_rows, bool(estimator.verbose)) as told:
        told.add(first)
        parts = _parts(estimator, fitted, log, columns, first, size)
        for file, table in zip(paths[done:], parts, strict=True):
            _write(table, file)
            told.add(len(table))
    log.check_unchanged()
    return paths


def logits_of_log(
    fitted: FittedModel, data: Any, n_threads: int | str | None
) -> NDArray[np.float64]:
    """Logits of all rows of a log, which are held in memory."""
    log = _log(data)
    names = _features(fitted, log)
    found = []
    for chunk in _chunks(fitted, log, (), 0):
        table = chunk.table.select(names)
        found.append(_logits(fitted, log, chunk, table, n_threads))
    return np.concatenate(found)


def _log(data: Any) -> Log:
    if not is_log(data):
        raise TypeError(
            f"{type(data).__name__} is no log; predict_proba takes tables in memory."
        )
    return as_log(data)


def _features(fitted: FittedModel, log: Log) -> list[str]:
    return features_of(fitted.learned.encoder, log)


def _chunks(
    fitted: FittedModel, log: Log, columns: Sequence[str], first: int
) -> Iterator[Chunk]:
    """Chunks from about a row on: the blocks of a table in memory, so the same bits."""
    names = list(dict.fromkeys([*_features(fitted, log), *columns]))
    return log.blocks(names, PREDICT_BLOCK, first)


def _logits(
    fitted: FittedModel,
    log: Log,
    chunk: Chunk,
    table: Any,
    n_threads: int | str | None,
) -> NDArray:
    names = table.column_names

    def call() -> NDArray:
        return fitted.logits(fitted.encode(table), n_threads)

    return log.located(chunk, call, lambda some: fitted.encode(some.select(names)))


def _parts(
    estimator: Any,
    fitted: FittedModel,
    log: Log,
    columns: Sequence[str],
    first: int,
    size: int,
) -> Iterator[Any]:
    """Tables of so many rows, of predictions and of columns beside them."""
    import pyarrow as pa

    names, held, n_held = _features(fitted, log), [], 0
    for chunk in _chunks(fitted, log, columns, first):
        n_threads = estimator.n_threads
        with threads(n_threads):
            logits = _logits(fitted, log, chunk, chunk.table.select(names), n_threads)
        skipped = max(0, first - chunk.start)
        table, logits = chunk.table.slice(skipped), logits[skipped:]
        predicted = named_predictions(fitted.tasks, logits)
        beside = {name: table.column(name) for name in columns}
        held.append(pa.table({**beside, **predicted}))
        n_held += len(table)
        while n_held >= size:
            both = pa.concat_tables(held)
            yield both.slice(0, size)
            held, n_held = [both.slice(size)], n_held - size
    if n_held:
        yield pa.concat_tables(held)


def named_predictions(tasks: Tasks, logits: NDArray) -> dict[str, NDArray]:
    """A column for each number and each class, without the first of two."""
    found = {}
    for task, own in zip(tasks.tasks, tasks.predict(logits), strict=True):
        if not task.n_levels:
            found[f"predicted_{task.name}"] = task.decode(own)
        elif len(task.classes) == 2:
            found[f"p_{task.name}"] = np.ascontiguousarray(own[:, 1])
        else:
            for label, column in zip(task.classes, own.T, strict=True):
                found[f"p_{task.name}={label}"] = np.ascontiguousarray(column)
    return found


def _about(
    fitted: FittedModel, log: Log, columns: Sequence[str], size: int
) -> dict[str, Any]:
    """What tells whether files are of the same call."""
    names = _features(fitted, log)
    weights = hashlib.sha256()
    for name, tensor in fitted.network.state_dict().items():
        weights.update(f"{name} {tuple(tensor.shape)}".encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    encoder = fitted.learned.encoder
    learned = names, encoder.cardinalities_, encoder.mean_, encoder.scale_
    return {
        "model": f"{weights.hexdigest()} {joblib.hash(learned)}",
        "log": log.fingerprint(names),
        "n_rows": log.n_rows,
        "columns": list(columns),
        "rows_per_part": size,
    }


def _check_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Write what the files are of, or refuse a folder that holds others."""
    path = folder / MANIFEST
    if path.exists():
        found = json.loads(path.read_text())
        differing = [key for key in about if found.get(key) != about[key]]
        if differing:
            raise ValueError(
                f"{str(folder)!r} holds predictions of another call, which differ in "
                f"{', '.join(differing)}. Give another folder, or delete this one."
            )
        return
    if any(folder.glob("part-*.parquet")):
        raise ValueError(f"{str(folder)!r} holds files of another kind.")
    new = _beside(path)
    new.write_text(json.dumps(about))
    os.replace(new, path)


def _is_whole(path: Path, n_rows: int) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bool(pq.read_metadata(path).num_rows == n_rows)
    except (OSError, pa.ArrowException):
        return False


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    new = _beside(path)
    try:
        pq.write_table(table, new)
        with open(new, "rb") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    """A file that no other process writes, as ranks that write the same do."""
    return path.with_name(f"_{path.name.lstrip('_')}.{uuid.uuid4().hex}.new")
