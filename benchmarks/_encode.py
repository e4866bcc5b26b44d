"""Times encoders on columns of text in one form, of this library or another checkout.

    python benchmarks/_encode.py CHECKOUT FORM ROWS

Each line that is read, "ours", "pyarrow" or "polars", is answered with seconds of
processor for all columns, as ``_peer.py`` does: FieldEncoder's fit_transform,
pyarrow's dictionary_encode, polars' cast to Categorical; the latter two of what the
form holds, as they read it.
"""

import json
import sys
import time

import numpy as np
import pandas as pd
from _peer import import_from

N_COLUMNS = 30
FORMS = (
    "pandas, Python objects",
    "pandas, str",
    "pandas, categories",
    "polars",
    "pyarrow",
)


def make_strings(n_rows: int) -> pd.DataFrame:
    """Columns of text with 10 to 100,000 values, the frequent ones first."""
    rng = np.random.default_rng(0)
    columns = {}
    for j in range(N_COLUMNS):
        cardinality = int(10 ** (1 + 4 * j / (N_COLUMNS - 1)))
        values = np.array([f"category {j} {i}" for i in range(cardinality)])
        drawn = (cardinality * rng.random(n_rows) ** 2).astype(int)
        columns[f"c{j}"] = pd.array(values[drawn], dtype="str")
    return pd.DataFrame(columns)


def in_form(X: pd.DataFrame, form: str):
    """The table in a form of the libraries that hold text."""
    import polars as pl
    import pyarrow as pa

    if form == "pandas, str":
        return X
    if form == "pandas, categories":
        return X.astype("category")
    if form == "pandas, Python objects":
        return X.astype(object)
    if form == "polars":
        return pl.from_pandas(X)
    return pa.Table.from_pandas(X, preserve_index=False)


def encoders(X) -> dict:
    """A function for each encoder, whose result is thrown away."""
    import polars as pl
    import pyarrow as pa

    from dephn_sk.preprocessing import FieldEncoder

    frame = isinstance(X, pd.DataFrame)
    encoder = FieldEncoder(categorical_features=np.ones(X.shape[1], dtype=bool))
    # what polars holds it makes of pandas' columns before anything else
    given = pl.from_pandas(X) if frame else X if isinstance(X, pl.DataFrame) else None
    given = pl.from_arrow(X) if given is None else given
    # and pyarrow of polars'
    arrays = [X[name] for name in X.columns] if frame else None
    if arrays is None:
        arrays = (X.to_arrow() if isinstance(X, pl.DataFrame) else X).columns

    def by_arrow():
        for one in arrays:
            array = pa.array(one, from_pandas=True) if frame else one
            array.dictionary_encode()

    text = pl.all().cast(pl.String).cast(pl.Categorical)
    return {
        "ours": lambda: encoder.fit_transform(X),
        "pyarrow": by_arrow,
        "polars": lambda: given.select(text),
    }


def serve(form: str, n_rows: str) -> None:
    X = in_form(make_strings(int(n_rows)), form)
    calls = encoders(X)
    for call in calls.values():  # loads what is loaded late
        call()
    print("@null", flush=True)
    for line in sys.stdin:
        start = time.process_time()
        calls[line.strip()]()
        print("@" + json.dumps(time.process_time() - start), flush=True)


if __name__ == "__main__":
    checkout, *given = sys.argv[1:]
    import_from(checkout)
    serve(*given)
