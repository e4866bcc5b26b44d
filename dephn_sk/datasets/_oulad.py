"""Open University Learning Analytics data: how a registration for a course ends.

One row for each registration of a student for a presentation of a module, 32,593
in all, from ``studentInfo.csv``.

Source: https://analyse.kmi.open.ac.uk/open-dataset.
Licence: CC BY 4.0.
"""

from collections.abc import Sequence

import numpy as np

from . import _tables

ORIGIN = "https://analyse.kmi.open.ac.uk/open-dataset, under CC BY 4.0"
NUMERIC = ("num_of_prev_attempts", "studied_credits")
TASKS = {  # the results that make a task 1; None keeps them as classes
    "completed": ("Fail", "Pass", "Distinction"),
    "passed": ("Pass", "Distinction"),
    "distinction": ("Distinction",),
    "result": None,
}


@_tables.loader
def load_oulad(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = ("completed", "passed", "distinction"),
    subset: str = "train",
    return_X_y: bool = False,
) -> _tables.Loaded:
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
    pd = _tables.import_pandas("load_oulad")
    tasks = _tables.check_tasks(tasks, TASKS)
    path = _tables.find_file(data_home, "oulad", "studentInfo.csv", ORIGIN)
    rows = pd.read_csv(path)
    result, id_student = rows.pop("final_result"), rows.pop("id_student").to_numpy()
    students, student = np.unique(id_student, return_inverse=True)
    split = _tables.random_split(len(students), 0.6, 0.8)[student]
    rows["imd_band"] = rows["imd_band"].replace({"20-Oct": "10-20%", "10-20": "10-20%"})
    data = _tables.typed(rows, NUMERIC)
    target = pd.DataFrame({task: _tables.label(result, TASKS[task]) for task in tasks})
    return _tables.as_bunch(
        data, target, split, subset, return_X_y, __doc__, id_student=id_student
    )
