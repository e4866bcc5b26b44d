"""A table with a column of each kind, hard rows of it, and an encoder for it."""

from __future__ import annotations

import numpy as np
from _graphs import N_ROWS, hard_integers, hard_numbers, hard_text, pd

from dephn_sk.preprocessing import FieldEncoder

SMALL = {
    "embedding_dim": 2,
    "batch_size": 32,
    "max_epochs": 9,
    "learning_rate": 0.02,  # a calibrator is steep where nothing was learned
    "early_stopping": False,
    "n_threads": 1,
    "random_state": 0,
}


def table(n_rows, seed, hard=False):
    """A column of each kind; hard rows are of the same columns."""
    rng = np.random.default_rng(seed)
    cities, ids = np.array(["a", "é", "😀", ""], dtype=object), [2**53 + 1, 7, -(2**63)]
    words, days = np.array(["new", "old", "hot"]), rng.integers(0, 10**9, n_rows)
    sizes = rng.integers(0, 4, n_rows)
    X = pd.DataFrame(
        {
            "city": hard_text(rng, cities)[:n_rows]
            if hard
            else rng.choice(cities, n_rows),
            "id": pd.array(
                hard_integers(rng, ids)[:n_rows] if hard else rng.choice(ids, n_rows),
                dtype="Int64",
            ),
            "flag": pd.array(rng.random(n_rows) < 0.5, dtype="boolean"),
            "age": hard_numbers(rng, np.arange(9.0))[:n_rows]
            if hard
            else rng.normal(size=n_rows),
            "price": rng.lognormal(size=n_rows),
            "when": pd.Series(days.astype("datetime64[s]"))
            .dt.tz_localize("UTC")
            .dt.tz_convert("Europe/Berlin"),
            "lasts": pd.to_timedelta(days, unit="s"),
            "tags": ["|".join(rng.choice(words, n)) for n in sizes],
            "seen": [list(rng.choice(cities, n)) for n in sizes],
            "hashed": rng.integers(0, 50, n_rows),
        }
    )
    if hard:
        missing = rng.random((n_rows, X.shape[1])) < 0.05
        for name, rows in zip(X, missing.T, strict=True):
            X.loc[rows, name] = None
    return X


def labels(X, seed=0):
    rng = np.random.default_rng(seed)
    score = (X["city"] == "a") + X["age"] + rng.normal(size=len(X))
    return pd.DataFrame(
        {"click": (score > 0.5).astype(int), "buy": (score > 1).astype(int)}
    )


def encoder(**more):
    return FieldEncoder(
        categorical_features=["city", "id", "flag", "hashed", "tags", "seen"],
        n_buckets={"hashed": 20},
        delimiters={"tags": "|"},
        scaling={"price": "squash"},
        shared_vocabularies=[["city", "seen"]],
        target_statistics=["city", "id"],
        infinite="missing",
        random_state=0,
        **more,
    )


X, ROWS = table(300, 0), table(N_ROWS, 1, hard=True)
NARROW, NARROW_ROWS = (frame[["city", "flag", "age"]] for frame in (X, ROWS))
Y = labels(X)
