"""Several processes that fit one log, each of which counts and encodes its share."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from dephn_sk.logs import Log
from dephn_sk.preprocessing._log_encoding import Counting

from ._cells import model, rows

N_ROWS, N_PIECES = 4_500, 7
LABELS = ["click", "like"]


def write_log(path):
    X, y = rows(N_ROWS)
    X["weight"] = np.arange(N_ROWS) % 3 + 1.0
    table = pa.Table.from_pandas(X.join(y), preserve_index=False)
    pq.write_table(table, path, row_group_size=-(-N_ROWS // N_PIECES))


def fitted(rank, size, path, cache_dir, how):
    """What a rank has after a fit, and which rows it has counted and written."""
    counted, share = [], Counting.share

    def recorded(self, pieces=None, told=None):
        counted.extend(piece.start for piece in pieces or [])
        return share(self, pieces, told)

    log = Log(ds.dataset(path), cache_dir=cache_dir, **how.pop("log", {}))
    given = {"max_epochs": 1, "batch_size": 512, **how.pop("model", {})}
    fit = {"sample_weight": "weight", **how}
    spied = contextlib.nullcontext()  # workers cannot be sent a spy
    if log.n_jobs == 1:
        spied = mock.patch.object(Counting, "share", recorded)
    with spied:
        net = model(**given).fit(log, LABELS, **fit)
    written = [] if cache_dir is None else Path(cache_dir).glob("*/train/*.block")
    weights = net.network_.state_dict().items()
    features = ds.dataset(path).to_table(columns=list(net.feature_names_in_))
    return {
        "predictions": net.predict_proba(features),
        "bytes": sha256(b"".join(v.numpy().tobytes() for _, v in weights)).hexdigest(),
        "encoder": repr(net.encoder_.report_) + repr(net.encoder_.vocabulary_),
        "counted": sorted(set(counted)),
        "written": sorted(path.name for path in written),
        "n_left": 0 if cache_dir is None else len(list(Path(cache_dir).iterdir())),
    }


def refusing(rank, size, path):
    """Rank 1 cannot read its share."""
    if rank == 1:
        with mock.patch.object(
            Counting, "share", side_effect=ValueError("row 3 of nobody's file")
        ):
            return _error(path)
    return _error(path)


def differing(rank, size, path, cache_dir, how):
    """Rank 1 is given other rows, as many; or other columns; or a table."""
    log = ds.dataset(path)
    if rank == 0:
        return _error(path, cache_dir=cache_dir)
    if how == "table":
        table = log.to_table()
        return _error(table.drop(LABELS), table.select(LABELS))
    if how == "columns":
        return _error(path, columns=["user", "price"], cache_dir=cache_dir)
    table = log.to_table()
    other = f"{path}.other"
    pq.write_table(table.take(np.arange(len(table))[::-1]), other, row_group_size=500)
    return *_error(other, cache_dir=cache_dir), len(list(Path(cache_dir).iterdir()))


def _error(X, y=LABELS, **how):
    try:
        model().fit(Log(ds.dataset(X), **how) if isinstance(X, str) else X, y)
    except Exception as error:
        return type(error).__name__, str(error)
