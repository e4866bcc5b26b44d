"""From a log to sources: its rows are counted, encoded into a store, and read there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray

from .._progress import Progress
from ..logs import ALONE, Crew, Log, shares_of
from ..preprocessing import FieldEncoder
from ..preprocessing._chance import drawn
from ..preprocessing._log_encoding import (
    RawLabels,
    cross_fitted_of_log,
    encoded,
)
from ..preprocessing._log_rows import Aside, LogRows, set_aside
from ..tasks import check_losses, check_task_weights
from ._call import FitCall
from ._learned import Learned, device_of, members_asked, new_encoder
from ._log_labels import ComparedLabels, LogLabels
from ._parameters import AUTO
from ._randomness import seed_of
from ._rows import check_rest, n_set_aside, stops_early, whole_groups
from ._source import Source
from ._store import Store, StoreFolder, StoreSource, StoreWriter, write_index

_TRAIN, _VALID = 0.4, 0.2  # of the memory, what rows that are held may take
_FORMAT = 1  # of what is stored
# parameters that decide what is stored
_ENCODING = (
    *("dtype", "encoder", "categorical_features", "target_statistics", "class_weight"),
    *("tasks", "loss", "conditions", "on_violation"),
)


def log_sources(call: FitCall) -> tuple[Learned, Source, Source | None, None]:
    """What is learned of a log, and its rows as sources; or nothing, and no trace."""
    template, before = call.template, call.before
    if not isinstance(template.encoder, FieldEncoder | None):
        raise TypeError(
            f"encoder={type(template.encoder).__name__}(...) cannot learn from a log; "
            "give a FieldEncoder, or None."
        )
    if template._windows()[0] is not None:
        raise ValueError(
            "label_window cannot be used with a log. Leave out the rows whose labels "
            "may still change, or give null for those labels, and set it to None."
        )
    shown = bool(template.verbose) and call.X.crew.rank == 0
    encoder = None if before is None else before.learned.encoder
    names = getattr(encoder, "feature_names_in_", None)
    given = call.y, call.sample_weight, call.groups
    rows = LogRows.of(call.X, *given, names=names)
    if call.sets_aside:
        rows = _aside(rows, template, call.seed)
    rows = rows.learned(shown)
    check_rest(rows.n_train, rows.n_train + rows.n_valid, template.validation_fraction)
    labels = LogLabels.of(
        template, rows, before.tasks if before else None, call.classes
    )
    check_task_weights(template.task_weights, labels.tasks)
    check_losses(template._losses(labels.tasks), template.dtype, call.groups)
    template._monitored(labels.tasks)
    learned, statistics, rows = _learned(call, rows, labels, shown)
    pairs = any(one.pairs for one in learned.losses or ())
    if not pairs and not (rows.aside and rows.aside.groups is not None):
        rows = replace(rows, groups=None)
    parts = [("rows", rows, labels, statistics)]
    if call.validation[0] is not None:
        valid = LogRows.of(*call.validation, names=rows.names).learned(shown)
        parts.append(("validation", valid, labels.validating(valid), None))
    return learned, *_stored(call, learned, parts, pairs, shown), None


def _aside(rows: LogRows, template: Any, seed: int) -> LogRows:
    """The rows, of which some are set aside, where training is to stop early."""
    if template.early_stopping is False:
        return rows
    n_rows, hashes, sizes = rows.sizes
    if not stops_early(template, n_rows):
        return rows
    wanted = n_set_aside(n_rows, template.validation_fraction)
    seed = seed_of(seed, "set aside")
    if hashes is None or sizes is None:
        return replace(rows, aside=set_aside(n_rows, wanted, seed))
    chosen = whole_groups(drawn(seed, hashes), sizes, wanted)
    return replace(rows, aside=Aside(seed, groups=np.sort(hashes[chosen])))


def _learned(
    call: FitCall, rows: LogRows, labels: LogLabels, shown: bool
) -> tuple[Learned, Any, LogRows]:
    """What is learned of columns, and which statistics rows that train have."""
    template, before, tasks = call.template, call.before, labels.tasks
    changed = tasks.numeric or tasks.conditions
    reader: Any = None
    if template.encoder is None or changed:
        reader = ComparedLabels(tasks)
    if before is not None:
        old = before.learned.encoder
        kept = replace(before.learned, template=template)
        if call.grows:
            new, _, rows = old._learned_rows(rows, reader, go_on=True, shown=shown)
            statistics = _those_before(old)
            return replace(kept, encoder=new), statistics, rows
        encoding = old._encoding
        reader = reader or RawLabels(encoding.tasks)
        if encoding.settings.time is not None:
            rows = replace(rows, time=encoding.settings.time).learned(shown)
        crossed = cross_fitted_of_log(encoding, rows, reader, shown)
        return kept, None if crossed is None else crossed.encode, rows
    encoder = new_encoder(template, call.seed)
    encoder, crossed, rows = encoder._learned_rows(
        rows, reader, cross_fit=True, shown=shown
    )
    auto = template.numeric_embedding == AUTO
    edges = encoder.edges(template.n_bins, discrete_only=auto, dtype=template.dtype)
    learned = Learned(
        template, tasks, encoder, edges, labels.start, members_asked(template)
    )
    return learned, None if crossed is None else crossed.encode, rows


def _those_before(encoder: FieldEncoder) -> Callable[..., Any]:
    """The statistics of an encoder that has not seen the rows."""
    return lambda chunk, columns: encoder._encoding.statistics_of(columns)


def _stored(
    call: FitCall, learned: Learned, parts: list[Any], pairs: bool, shown: bool
) -> tuple[StoreSource, StoreSource | None]:
    """Encode all rows into a store, or find them there."""
    log: Log = parts[0][1].log
    key = None if log.cache_dir is None else _key(call, parts)
    if len(set(log.crew.all(key))) > 1:  # whether their rows are the same is seen later
        key = None
    folder = StoreFolder(log.cache_dir, key)
    # a folder that all reach is written by all, each its share of the rows
    crew = log.crew if folder.kept is not None else ALONE
    names = ["train"] + ["valid"] * bool(len(parts) > 1 or parts[0][1].n_valid)
    try:
        stores = [folder.found(name) for name in names]
        if any(crew.all(None in stores)):
            path = _Encoded(learned, parts, names, pairs, shown).write(folder, crew)
            stores = [Store(path / name) for name in names]
        dtype = getattr(torch, call.template.dtype)
        how = {"device": device_of(call.template.device), "dtype": dtype}
        shares = int(log.memory * _TRAIN), int(log.memory * _VALID)
        pairs_of = zip(stores, shares, strict=False)
        sources = [StoreSource(s, n, **how) for s, n in pairs_of if s is not None]
    except BaseException:
        folder.close()
        raise
    sources[0].folder = folder
    return sources[0], sources[1] if len(sources) > 1 else None


@dataclass(frozen=True)
class _Encoded:
    """Rows of one or two logs, to be stored as a fitted encoder reads them.

    Attributes
    ----------
    learned : Learned
    parts : list of (str, LogRows, LogLabels, callable or None)
        What they are, and which statistics each chunk has.
    names : list of str
        Of the stores.
    pairs : bool
        Whether a loss looks at groups.
    shown : bool
        Whether progress is.
    """

    learned: Learned
    parts: list[Any]
    names: list[str]
    pairs: bool
    shown: bool

    def write(self, folder: StoreFolder, crew: Crew) -> Path:
        """Where all rows are, once each process of the crew has encoded its share."""
        own, path = folder.path, Path(crew.all(str(folder.path))[0])
        indexes = self._share(path, crew)
        for _, rows, *_ in self.parts:
            rows.log.check_unchanged()
        told = crew.all(indexes)
        if crew.rank == 0:
            for name, of_ranks in zip(self.names, zip(*told, strict=True), strict=True):
                write_index(path / name, of_ranks)
            own = folder.settle()
        return Path(crew.all(str(own))[0])

    def _share(self, path: Path, crew: Crew) -> list[dict[str, Any]]:
        """Encode this process's share, and tell what of each store it has."""
        encoder, dtype = self.learned.encoder, self.learned.template.dtype
        sizes = encoder.cardinalities_, encoder.bag_cardinalities_
        memory = self.parts[0][1].log.memory
        writers = [StoreWriter(path / n, memory, sizes, crew.rank) for n in self.names]

        def encode(table: Any, statistics: Any) -> Any:
            return encoder._encode_chunk(table, statistics, np.dtype(dtype))

        for what, rows, labels, statistics in self.parts:
            validates = what == "validation"
            pieces = shares_of(rows.log.pieces, crew.size)[crew.rank]
            n_rows = sum(piece.n_rows or 0 for piece in pieces)
            with Progress(f"encode {what}", n_rows, self.shown) as told:
                for chunk, fields in encoded(encode, rows, statistics, told, pieces):
                    alone = replace(chunk, groups=None)
                    chunk = chunk if self.pairs else alone
                    if validates:
                        writers[1].add(labels.encoded(chunk, fields, False, dtype))
                        continue
                    writers[0].add(labels.encoded(chunk, fields, False, dtype))
                    if rows.n_valid:
                        writers[1].add(labels.encoded(alone, fields, True, dtype))
        return [writer.finish() for writer in writers]


def _key(call: FitCall, parts: list[Any]) -> str | None:
    """What tells whether rows were encoded before; None where nothing does."""
    if call.before is not None:
        return None
    about: list[Any] = [_FORMAT, call.seed]
    # labels are stored as codes among the classes, which a caller may have given
    for task in parts[0][2].tasks.tasks:
        about.append((type(task).__name__, task.name, repr(list(task.classes))))
    parameters = call.template.get_params(deep=False)
    for name in _ENCODING:
        value = parameters.get(name)
        if hasattr(value, "get_params"):
            value = type(value).__name__, value.get_params()
        about.append((name, value))
    for _, rows, *_ in parts:
        columns = dict.fromkeys([*rows.names, *rows.own])
        found = rows.log.fingerprint(list(columns))
        if found is None:
            return None
        aside: tuple[int, NDArray | None] | None = None
        if rows.aside is not None:
            aside = rows.aside.largest, rows.aside.groups
        about.append(
            (found, list(rows.names), rows.y, rows.weights, rows.groups, aside)
        )
    return str(joblib.hash(about))
