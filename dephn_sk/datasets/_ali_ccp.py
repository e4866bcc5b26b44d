"""Ali-CCP: clicks on goods in Taobao and the purchases that follow.

Impressions of the recommender system of Taobao in four files:
``sample_skeleton_train.csv`` and ``sample_skeleton_test.csv`` hold the impressions
with the features of the goods, ``common_features_train.csv`` and
``common_features_test.csv`` the features of the users.

Source: https://tianchi.aliyun.com/dataset/408 (Ma et al., Entire Space Multi-Task
Model, SIGIR 2018). Terms: those stated there; the files cannot be passed on with
this library.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._suggest import check_names
from . import _tables

FOLDER = "ali_ccp"
ORIGIN = "https://tianchi.aliyun.com/dataset/408, under the terms stated there"
TASKS = ("click", "conversion")
USER_FIELDS = "101 121 122 124 125 126 127 128 129".split()
ITEM_FIELDS = "205 206 207 216 301 508 509 702 853".split()
VALUE_FIELDS = "508 509 702 853".split()
USER_LIST_FIELDS = "109_14 110_14 127_14 150_14".split()
ITEM_LIST_FIELDS = ["210"]


@_tables.loader
def load_ali_ccp(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = ("click", "conversion"),
    missing_without_click: bool = False,
    list_fields: Sequence[str] = (),
    subset: str = "train",
    n_rows: int | None = None,
    chunk_size: int = 200_000,
    return_X_y: bool = False,
) -> _tables.Loaded:
    r"""Load Ali-CCP (Alibaba click and conversion prediction) from files on disk.

    The files are read in chunks and the features of the users joined. Of the
    training file, a random 10 % with a fixed seed are for validation; the test file
    is the test set. Rows keep the order of the files.

    =======================  ====================================================
    Field                    Meaning
    =======================  ====================================================
    101, 121, 122, 124-129   User: id, profile category and group, gender, age,
                             two grades of consumption, occupation, geography
    205, 206, 207, 216       Item: id, category, shop, brand
    301                      Context: where it was shown
    508, 509, 702, 853       Combinations of the user's history with the item's
                             category, shop, brand, intention; with a value
    210                      Item: intentions (list)
    109_14, 110_14, 127_14,  User's history: categories, shops, brands, intentions
    150_14                   (lists)
    =======================  ====================================================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``ali_ccp/sample_skeleton_train.csv``,
        ``ali_ccp/common_features_train.csv`` and the same two for "test", plain or
        compressed (.gz, .xz, .bz2). By default the environment variable
        ``DEPHN_SK_DATA``, else ``~/dephn_sk_data``.
    tasks : sequence of str or "all", default=("click", "conversion")
        Columns of the target.
    missing_without_click : bool, default=False
        Whether the conversion counts as not observed (NaN) where there was no
        click. By default it is complete, which makes it click and conversion.
    list_fields : sequence of str, default=()
        Fields of several values in a row that are wanted too: "210", "109_14",
        "110_14", "127_14", "150_14".
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return. All files are read in any case.
    n_rows : int, default=None
        Read only that many rows from the beginning of each skeleton file.
    chunk_size : int, default=200_000
        Rows that are parsed at a time. It changes the memory needed, not the result.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    ali_ccp : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, 22 + n_list_fields)
            The fields of dtype category with the same categories in every subset
            and, of the four combinations, the values as float32 in ``508_value``
            and so on. A list is a string of its members joined by ``|``, without
            their values. All with missing values.
        target : DataFrame of shape (n_rows, n_tasks)
            0 and 1; ``conversion`` with NaN where it is not observed.
        feature_names, task_names : list of str
            Columns of `data` and of `target`.
        split : ndarray of shape (n_rows,)
            The subset of each row.
        DESCR : str
            Description, source and terms.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a feature list is not of the layout of the files: features separated by
        ``\x01``, each ``field \x02 feature \x03 value``.

    Examples
    --------
    >>> from dephn_sk.datasets import load_ali_ccp
    >>> X, y = load_ali_ccp(n_rows=100_000, return_X_y=True)  # doctest: +SKIP
    >>> y.columns.tolist()  # doctest: +SKIP
    ['click', 'conversion']
    """
    pd = _tables.import_pandas("load_ali_ccp")
    tasks = _tables.check_tasks(tasks, TASKS)
    check_names("list_fields", list_fields, (*ITEM_LIST_FIELDS, *USER_LIST_FIELDS))
    user_fields = [*USER_FIELDS, *(f for f in USER_LIST_FIELDS if f in list_fields)]
    item_fields = [*ITEM_FIELDS, *(f for f in ITEM_LIST_FIELDS if f in list_fields)]
    paths = [
        _tables.find_file(data_home, FOLDER, f"{kind}_{part}.csv", ORIGIN)
        for kind in ("common_features", "sample_skeleton")
        for part in ("train", "test")
    ]

    parts = []
    for common, skeleton in zip(paths[:2], paths[2:], strict=True):
        chunks = _chunks(common, ["user"], user_fields, None, chunk_size)
        users, shown = _tables.stacked(chunks).set_index("user"), []
        names = ["sample_id", "click", "conversion", "user"]
        for chunk in _chunks(skeleton, names, item_fields, n_rows, chunk_size):
            user = users.reindex(chunk.pop("user")).set_index(chunk.index)
            shown.append(pd.concat([user, chunk.drop(columns="sample_id")], axis=1))
        parts.append(_tables.stacked(shown))
    split = _tables.random_split(len(parts[0]), 0.9, n_test=len(parts[1]))
    rows = _tables.stacked(parts)
    for name in list_fields:
        rows[name] = pd.Categorical(rows[name])
    values = [f"{name}_value" for name in VALUE_FIELDS]
    data = rows[[*user_fields, *item_fields, *values]]
    if missing_without_click:
        rows["conversion"] = rows["conversion"].where(rows["click"] == 1)
    return _tables.as_bunch(data, rows[tasks], split, subset, return_X_y, __doc__)


def _chunks(
    path: Path, names: list[str], fields: list[str], n_rows: int | None, chunk_size: int
) -> Iterator[Any]:
    """Pieces of a file: its leading columns, and the fields of its feature lists.

    A field of one feature is a category, one of several a string that joins them.
    """
    import pandas as pd

    with pd.read_csv(
        path,
        header=None,
        names=[*names, "n_features", "features"],
        dtype={"user": str, "features": str},
        quoting=csv.QUOTE_NONE,
        nrows=n_rows,
        chunksize=chunk_size,
    ) as chunks:
        for chunk in chunks:
            table = chunk.reset_index(drop=True)
            n_features = table.pop("n_features").to_numpy()
            triples = _triples(path, table.pop("features"), n_features)
            for name in fields:
                chosen = triples[triples["field"] == name]
                rows = chosen.index.to_numpy()
                if name in ITEM_LIST_FIELDS + USER_LIST_FIELDS:
                    members = chosen["feature"].astype(str).astype(object)
                    joined = members.groupby(level=0).agg("|".join)
                    table[name] = joined.reindex(table.index).astype(object)
                    continue
                if (np.diff(rows) == 0).any():
                    raise ValueError(
                        f"Field {name} has several values in a row of {str(path)!r}."
                    )
                codes = np.full(len(table), -1)
                codes[rows], kinds = pd.factorize(chosen["feature"], sort=True)
                table[name] = pd.Categorical.from_codes(codes, kinds)
                if name in VALUE_FIELDS:
                    table[f"{name}_value"] = chosen["value"]
            yield table


def _triples(path: Path, lists: Any, n_features: NDArray[Any]) -> Any:
    """Fields, features and values of all lists, indexed by the row of each."""
    import pandas as pd

    try:
        triples = pd.read_csv(
            io.StringIO("\x01".join(lists).replace("\x03", "\x02")),
            sep="\x02",
            lineterminator="\x01",
            header=None,
            names=["field", "feature", "value"],
            dtype={"field": "category", "feature": np.int32, "value": np.float32},
            quoting=csv.QUOTE_NONE,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A feature list in {str(path)!r} is not made of field \\x02 feature "
            f"\\x03 value, separated by \\x01; one of them is {lists.iloc[0]!r}."
        ) from error
    if len(triples) != n_features.sum():
        raise ValueError(
            f"The feature lists in {str(path)!r} hold {len(triples)} features where "
            f"{n_features.sum()} are announced."
        )
    triples["field"] = triples["field"].cat.rename_categories(str)
    return triples.set_index(np.repeat(np.arange(len(lists)), n_features))
