"""Ali-CCP: clicks on goods in Taobao and the purchases that follow.

Impressions of the recommender system of Taobao in four files:
``sample_skeleton_train.csv`` and ``sample_skeleton_test.csv`` hold the impressions
with the features of the goods, ``common_features_train.csv`` and
``common_features_test.csv`` the features of the users.

Source: https://tianchi.aliyun.com/dataset/408 (Ma et al., Entire Space Multi-Task
Model, SIGIR 2018). Terms: those stated there; the files cannot be passed on with
this library.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._compat import validate_params
from .._suggest import did_you_mean
from ._tables import (
    LOADER_CONSTRAINTS,
    STREAMING_CONSTRAINTS,
    DataHome,
    as_bunch,
    as_categorical,
    check_tasks,
    find_file,
    import_pandas,
)

FOLDER = "ali_ccp"
ORIGIN = "https://tianchi.aliyun.com/dataset/408, under the terms stated there"
TASKS = ("click", "conversion")
USER_FIELDS = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
ITEM_FIELDS = ("205", "206", "207", "216", "301", "508", "509", "702", "853")
VALUE_FIELDS = ("508", "509", "702", "853")
USER_LIST_FIELDS = ("109_14", "110_14", "127_14", "150_14")
ITEM_LIST_FIELDS = ("210",)


@validate_params(
    {
        **LOADER_CONSTRAINTS,
        **STREAMING_CONSTRAINTS,
        "list_fields": ["array-like"],
        "missing_without_click": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_ali_ccp(
    data_home: DataHome = None,
    *,
    tasks: str | Sequence[str] = ("click", "conversion"),
    missing_without_click: bool = False,
    list_fields: Sequence[str] = (),
    subset: str = "train",
    n_rows: int | None = None,
    chunk_size: int = 200_000,
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
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
    pd = import_pandas("load_ali_ccp")
    tasks = check_tasks(tasks, TASKS)
    for name in list_fields:
        if name not in USER_LIST_FIELDS + ITEM_LIST_FIELDS:
            known = [*ITEM_LIST_FIELDS, *USER_LIST_FIELDS]
            raise ValueError(
                f"list_fields contains {name!r}, which is none of {known}."
                + did_you_mean(name, known)
            )
    user_lists = [name for name in USER_LIST_FIELDS if name in list_fields]
    item_lists = [name for name in ITEM_LIST_FIELDS if name in list_fields]

    paths = {
        (kind, part): find_file(data_home, FOLDER, f"{kind}_{part}.csv", ORIGIN)
        for kind in ("common_features", "sample_skeleton")
        for part in ("train", "test")
    }

    users, rows, n_users, n_fitted = [], [], 0, 0
    for part in ("train", "test"):
        path = paths["common_features", part]
        common = _chunks(pd, path, ["user"], USER_FIELDS, user_lists, None, chunk_size)
        users.append(pd.concat(common, ignore_index=True))
        known = pd.Index(users[-1].pop("user"))
        path = paths["sample_skeleton", part]
        names = ["sample_id", "click", "conversion", "user"]
        skeleton = _chunks(pd, path, names, ITEM_FIELDS, item_lists, n_rows, chunk_size)
        for chunk in skeleton:
            position = known.get_indexer(chunk["user"])
            chunk["user"] = np.where(position < 0, -1, position + n_users)
            rows.append(chunk.drop(columns="sample_id"))
            n_fitted += len(chunk) if part == "train" else 0
        n_users += len(known)
    users = pd.concat(users, ignore_index=True)
    rows = pd.concat(rows, ignore_index=True)

    columns = {}
    for name in (*USER_FIELDS, *user_lists):
        category = _as_category(pd, users.pop(name))
        columns[name] = category.take(rows["user"].to_numpy(), allow_fill=True)
    for name in (*ITEM_FIELDS, *item_lists):
        columns[name] = _as_category(pd, rows.pop(name))
    for name in VALUE_FIELDS:
        columns[f"{name}_value"] = rows.pop(f"{name}_value")
    target = rows[tasks]
    if missing_without_click and "conversion" in tasks:
        observed = rows["conversion"].where(rows["click"] == 1)
        target = target.assign(conversion=observed)
    split = np.full(len(rows), "test", dtype="U10")
    order = np.random.default_rng(2023).permutation(n_fitted)
    n_train = int(0.9 * len(order))
    split[order[:n_train]] = "train"
    split[order[n_train:]] = "validation"
    return as_bunch(
        pd.DataFrame(columns, copy=False),
        target,
        split,
        subset=subset,
        return_X_y=return_X_y,
        DESCR=__doc__,
    )


def _chunks(
    pd: Any,
    path: Path,
    names: list[str],
    fields: Sequence[str],
    list_fields: list[str],
    n_rows: int | None,
    chunk_size: int,
) -> Iterator[Any]:
    """Pieces of a file: its leading columns, and the fields of its feature lists.

    A field is -1 where it is missing; lists are strings.
    """
    reader = pd.read_csv(
        path,
        header=None,
        names=[*names, "n_features", "features"],
        dtype={"user": str, "features": str},
        quoting=csv.QUOTE_NONE,
        nrows=n_rows,
        chunksize=chunk_size,
    )
    with reader as chunks:
        for chunk in chunks:
            table = chunk.reset_index(drop=True)
            lists, n_features = table.pop("features"), table.pop("n_features")
            row, triples = _triples(pd, path, lists, n_features.to_numpy())
            for name in (*fields, *list_fields):
                chosen = (triples["field"] == name).to_numpy()
                rows, features = row[chosen], triples["feature"].to_numpy()[chosen]
                if name in list_fields:
                    table[name] = _joined(pd, rows, features, len(table))
                    continue
                if (np.diff(rows) == 0).any():
                    raise ValueError(
                        f"Field {name} has several values in a row of {str(path)!r}."
                    )
                table[name] = _spread(rows, features, len(table), np.int32(-1))
                if name in VALUE_FIELDS:
                    values = triples["value"].to_numpy()[chosen]
                    table[f"{name}_value"] = _spread(
                        rows, values, len(table), np.float32(np.nan)
                    )
            yield table


def _spread(
    rows: NDArray[Any], values: NDArray[Any], n_rows: int, missing: np.generic
) -> NDArray[Any]:
    """A column with the values in the given rows."""
    column = np.full(n_rows, missing)
    column[rows] = values
    return column


def _joined(pd: Any, rows: NDArray[Any], features: NDArray[Any], n_rows: int) -> Any:
    """A column of strings that join the features of each row."""
    members = pd.Series(features.astype(str), index=rows, dtype=object)
    lists = members.groupby(level=0).agg("|".join)
    return lists.reindex(range(n_rows)).astype(object)


def _triples(
    pd: Any, path: Path, lists: Any, n_features: NDArray[Any]
) -> tuple[NDArray[Any], Any]:
    """Fields, features and values of all lists, and the row of each."""
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
    return np.repeat(np.arange(len(lists)), n_features), triples


def _as_category(pd: Any, column: Any) -> Any:
    """A field with -1 for missing, or a list, as categories."""
    if column.dtype == np.int32:
        return as_categorical(pd, column.to_numpy(), column.to_numpy() == -1)
    return pd.Categorical(column)
