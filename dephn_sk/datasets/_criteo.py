"""Criteo display advertising challenge: clicks on advertisements.

Seven days of advertisements shown by Criteo, clicked and not clicked ones sampled
at different rates: 45,840,617 rows in ``train.txt``, 13 integer and 26 hashed
categorical features of undisclosed meaning.

Source: https://www.kaggle.com/c/criteo-display-ad-challenge and
https://ailab.criteo.com. Terms: those stated there; the files cannot be
passed on with this library.
"""

import csv

import numpy as np

from . import _tables

ORIGIN = "https://ailab.criteo.com, under the terms stated there"
INTEGERS = [f"I{i}" for i in range(1, 14)]
HASHES = [f"C{i}" for i in range(1, 27)]


@_tables.loader
def load_criteo(
    data_home: _tables.DataHome = None,
    *,
    subset: str = "train",
    n_rows: int | None = None,
    chunk_size: int = 500_000,
    return_X_y: bool = False,
) -> _tables.Loaded:
    """Load the data of the Criteo display advertising challenge from a file on disk.

    The file is read in chunks. Its rows are in time order; the first 80 % are for
    training, the next 10 % for validation, the last 10 % for the test.
    Where memory is short, ``n_rows`` helps.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``criteo/train.txt`` (tab-separated, no header: label, 13
        integers, 26 categories), plain or compressed (.gz, .xz, .bz2). By default
        the environment variable ``DEPHN_SK_DATA``, else ``~/dephn_sk_data``.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    n_rows : int, default=None
        Read only that many rows from the beginning of the file, and split these.
    chunk_size : int, default=500_000
        Rows that are parsed at a time. It changes the memory needed, not the result.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    criteo : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, 39)
            ``I1`` to ``I13`` as floats, ``C1`` to ``C26`` of dtype category with the
            same categories in every subset: the 32-bit hashes as integers. Both
            with missing values.
        target : DataFrame of shape (n_rows, 1)
            ``click``, 0 or 1.
        feature_names, task_names : list of str
            Columns of `data` and of `target`.
        split : ndarray of shape (n_rows,)
            The subset of each row.
        DESCR : str
            Description, source and terms.

    Raises
    ------
    FileNotFoundError
        If the file is missing.

    See Also
    --------
    make_related_tasks : Two tasks over these features, as in the DEPHN paper.

    Examples
    --------
    >>> from dephn_sk.datasets import load_criteo, make_related_tasks
    >>> X, _ = load_criteo(n_rows=1_000_000, return_X_y=True)  # doctest: +SKIP
    >>> tasks = make_related_tasks(X, "unrelated", random_state=0)  # doctest: +SKIP
    """
    pd = _tables.import_pandas("load_criteo")
    path = _tables.find_file(data_home, "criteo", "train.txt", ORIGIN)
    kinds = {**dict.fromkeys(INTEGERS, "float64"), **dict.fromkeys(HASHES, str)}
    tables = []
    with pd.read_csv(
        path,
        sep="\t",
        header=None,
        names=["click", *kinds],
        index_col=False,
        dtype={"click": "int64", **kinds},
        quoting=csv.QUOTE_NONE,
        keep_default_na=False,
        na_values=[""],
        nrows=n_rows,
        chunksize=chunk_size,
    ) as chunks:
        for chunk in chunks:
            wrong = chunk["click"][~chunk["click"].isin([0, 1])]
            if len(wrong):
                raise ValueError(
                    f"The first column of {str(path)!r} must hold the label 0 or 1, "
                    f"got {wrong.iloc[0]} in row {wrong.index[0]}."
                )
            for name in HASHES:
                codes, hashes = pd.factorize(chunk[name])
                numbers = np.array([int(text, 16) for text in hashes], dtype=np.uint32)
                chunk[name] = pd.Categorical.from_codes(codes, numbers)
            tables.append(chunk)
    data = _tables.stacked(tables)
    target = data.pop("click").to_frame()
    n = len(data)
    split = np.repeat(_tables.SUBSETS, np.diff([0, 8 * n // 10, 9 * n // 10, n]))
    return _tables.as_bunch(data, target, split, subset, return_X_y, __doc__)
