"""Open University Learning Analytics data: how a registration for a course ends.

One row for each registration of a student for a presentation of a module, 32,593
in all, from ``studentInfo.csv``.

Source: https://analyse.kmi.open.ac.uk/open-dataset.
Licence: CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._compat import validate_params
from ._tables import (
    LOADER_CONSTRAINTS,
    DataHome,
    as_bunch,
    check_tasks,
    find_file,
    import_pandas,
)

ORIGIN = "https://analyse.kmi.open.ac.uk/open-dataset, under CC BY 4.0"
NUMERIC = ("num_of_prev_attempts", "studied_credits")
TASKS: dict[str, Callable[[Any], Any]] = {
    "completed": lambda result: (result != "Withdrawn").astype("int64"),
    "passed": lambda result: result.isin(["Pass", "Distinction"]).astype("int64"),
    "distinction": lambda result: (result == "Distinction").astype("int64"),
    "result": lambda result: result,
}


@validate_params(LOADER_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_oulad(
    data_home: DataHome = None,
    *,
    tasks: str | Sequence[str] = ("completed", "passed", "distinction"),
    subset: str = "train",
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load the registrations of the Open University data from a file on disk.

    The default tasks are strictly nested: a distinction is a pass, a pass is a
    completed course. The split is by student, at random with a fixed seed: 60 %
    of the students for training, 20 % for validation, 20 % for the test, so that
    nobody is in two subsets. Rows keep the order of the file.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``oulad/studentInfo.csv``, plain or compressed (.gz, .xz,
        .bz2). By default the environment variable ``DEPHN_SK_DATA``, else
        ``~/dephn_sk_data``.
    tasks : sequence of str or "all", \
            default=("completed", "passed", "distinction")
        Columns of the target: "completed" (not withdrawn), "passed" (passed, with
        or without distinction), "distinction", and "result", which has the four
        classes Withdrawn, Fail, Pass and Distinction.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    oulad : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, 10)
            ``num_of_prev_attempts`` and ``studied_credits`` as floats, all others
            of dtype category with the same categories in every subset. The band
            that a spreadsheet once turned into "20-Oct" is "10-20%" again.
        target : DataFrame of shape (n_rows, n_tasks)
            0 and 1, names of the classes for "result".
        id_student : ndarray of shape (n_rows,)
            The student, for grouped splits; no feature.
        feature_names, task_names : list of str
            Columns of `data` and of `target`.
        split : ndarray of shape (n_rows,)
            The subset of each row.
        DESCR : str
            Description, source and licence.

    Raises
    ------
    FileNotFoundError
        If the file is missing.

    References
    ----------
    Jakub Kuzilek, Martin Hlosta, Zdenek Zdrahal: Open University Learning
    Analytics dataset. Scientific Data 4, 170171 (2017).
    https://doi.org/10.1038/sdata.2017.171

    Examples
    --------
    >>> from dephn_sk.datasets import load_oulad
    >>> X, y = load_oulad(return_X_y=True)  # doctest: +SKIP
    >>> y.columns.tolist()  # doctest: +SKIP
    ['completed', 'passed', 'distinction']
    """
    pd = import_pandas("load_oulad")
    tasks = check_tasks(tasks, TASKS)
    path = find_file(data_home, "oulad", "studentInfo.csv", ORIGIN)
    rows = pd.read_csv(path)
    students, student = np.unique(rows["id_student"], return_inverse=True)
    order = np.random.default_rng(2023).permutation(len(students))
    n_train, n_fitted = int(0.6 * len(students)), int(0.8 * len(students))
    student_split = np.full(len(students), "test", dtype="U10")
    student_split[order[:n_train]] = "train"
    student_split[order[n_train:n_fitted]] = "validation"

    rows["imd_band"] = rows["imd_band"].replace({"20-Oct": "10-20%", "10-20": "10-20%"})
    data = rows.drop(columns=["id_student", "final_result"])
    for name in data:
        data[name] = data[name].astype(float if name in NUMERIC else "category")
    return as_bunch(
        data,
        pd.DataFrame({task: TASKS[task](rows["final_result"]) for task in tasks}),
        student_split[student],
        subset=subset,
        return_X_y=return_X_y,
        DESCR=__doc__,
        id_student=rows["id_student"].to_numpy(),
    )
