"""Tables with columns of every kind, and estimators that learn them fast."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import numpy as np
import pytest
from _logs import SMALL

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.preprocessing import FieldEncoder

N_ROWS = 80
ESTIMATORS = {
    "DEPHNMultiTaskClassifier": DEPHNMultiTaskClassifier,
    **{n: getattr(baselines, n) for n in baselines.__all__ if n.endswith("Classifier")},
}
# a few values of each kind of column, which the rows repeat
COLUMNS = {
    "text": ["Oslo", "Rome", "", "a\0", "å" * 300],
    "integers beyond 2**53": [2**53, 2**53 + 1, -(2**62), 7],
    "unsigned": np.array([0, 2**64 - 1, 2**63], dtype=np.uint64),
    "integers beyond 64 bits": [2**70, 2**70 + 1, -(2**90)],
    "booleans": [True, False],
    "floats": [0.1, -0.0, 1e300, float("nan")],
    "with None": ["a", None, "b"],
    "bytes": [b"", b"\0\xff", b"x"],
    "decimals": [Decimal("1.10"), Decimal("2"), Decimal("1e30")],
    "uuids": [UUID(int=3), UUID(int=2**100)],
    "fractions": [Fraction(1, 3), Fraction(2, 3)],
    "days": [date(2024, 2, 29), date(1, 1, 1)],
    "instants": [datetime(2024, 1, 1, 1, 2, 3, 4), datetime(1970, 1, 1)],
    "instants with a zone": [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 7, 1, tzinfo=UTC) + timedelta(microseconds=1),
    ],
    "tuples": [(1, "a"), (2, "b"), (1, "c")],
    "true beside numbers": [True, 5, 2**65],
}


def objects(values):
    return np.fromiter(values, dtype=object, count=len(values))


def repeated(values):
    values = values if isinstance(values, np.ndarray) else objects(values)
    return values[np.arange(N_ROWS) % len(values)]


def labels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, (N_ROWS, 2))


def table():
    """A frame with a column of every kind that an encoder tells apart."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    text = pd.Series(repeated(["a", "b", None, "c"]))
    days = pd.Series(pd.date_range("2024-01-01", periods=N_ROWS, freq="7h"))
    return pd.DataFrame(
        {
            "text": text,
            "shared": text.iloc[::-1].to_numpy(),
            "category": pd.Categorical(repeated(["x", "y"])),
            "hashed": repeated(["u1", "u2", "u3"]),
            "ids": rng.integers(2**53, 2**53 + 6, N_ROWS),
            "flag": repeated([True, False]).astype(bool),
            "number": np.where(
                rng.random(N_ROWS) < 0.2, np.nan, rng.normal(size=N_ROWS)
            ),
            "time": days,
            "zoned": days.dt.tz_localize("Europe/Berlin"),
            "duration": pd.to_timedelta(rng.integers(0, 99, N_ROWS), unit="h"),
            "tags": objects([["p", "q"][: i % 3] for i in range(N_ROWS)]),
            "delimited": repeated(["p|q", "q", ""]),
            "interval": pd.cut(pd.Series(rng.normal(size=N_ROWS)), 3),
        }
    )


def encoder(**options):
    """With all that it may learn of such a table."""
    given = {
        "shared_vocabularies": [["text", "shared"]],
        "n_buckets": {"hashed": 7},
        "delimiters": {"delimited": "|"},
        "target_statistics": ["ids"],
        "min_frequency": 2,
        "categorical_features": [
            *("text", "shared", "category", "hashed", "ids", "flag", "interval"),
        ],
        "scaling": {"number": "squash"},
        "target_folds": 3,
        "random_state": np.random.RandomState(0),
    }
    return FieldEncoder(**given | options)


def small(cls, **options):
    # labels of no funnel, which ESMM takes them for
    given = {**SMALL, "max_epochs": 1, "conditions": {}, **options}
    return cls(**{k: v for k, v in given.items() if k in cls._parameters})
