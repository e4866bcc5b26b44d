"""Complications of myocardial infarction: patients of a hospital, and what they met.

1,700 patients of a hospital in Krasnoyarsk, 1992 to 1995: 111 facts about each, most
of them known on admission, eleven complications, and whether and of what the patient
died. The file is ``MI.csv``.

Source: UCI Machine Learning Repository, https://doi.org/10.24432/C53P5M.
Licence: CC BY 4.0.
"""

from collections.abc import Sequence

from . import _tables

ORIGIN = "https://doi.org/10.24432/C53P5M, under CC BY 4.0"
TASKS = {  # the column of each; "death" has a number for each cause of it
    "atrial_fibrillation": "FIBR_PREDS",
    "supraventricular_tachycardia": "PREDS_TAH",
    "ventricular_tachycardia": "JELUD_TAH",
    "ventricular_fibrillation": "FIBR_JELUD",
    "atrioventricular_block": "A_V_BLOK",
    "pulmonary_edema": "OTEK_LANC",
    "myocardial_rupture": "RAZRIV",
    "dressler_syndrome": "DRESSLER",
    "heart_failure": "ZSN",
    "relapse": "REC_IM",
    "angina": "P_IM_STEN",
    "death": "LET_IS",
}
LATER = """
R_AB_1_n R_AB_2_n R_AB_3_n NA_R_1_n NA_R_2_n NA_R_3_n NOT_NA_1_n NOT_NA_2_n NOT_NA_3_n
""".split()  # pain, and what was given against it, on the three days that follow


@_tables.loader
def load_myocardial(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = "all",
    subset: str = "train",
    split_seed: int = 2023,
    return_X_y: bool = False,
) -> _tables.Loaded:
    """Load the complications of myocardial infarction from a file on disk.

    Few rows, many tasks, and most of them rare: from 1.2 % (supraventricular
    tachycardia) to 23 % (heart failure). The features are what is known when the
    patient is admitted; what is only known on the three days that follow is left
    out. The split is at random, 60 % for training, 20 % for validation, 20 % for
    the test; of so few rows, average over several splits. Rows keep the order of
    the file.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``myocardial/MI.csv``, with its line of names, plain or
        compressed (.gz, .xz, .bz2). By default the environment variable
        ``DEPHN_SK_DATA``, else ``~/dephn_sk_data``.
    tasks : sequence of str or "all", default="all"
        Columns of the target, out of "atrial_fibrillation",
        "supraventricular_tachycardia", "ventricular_tachycardia",
        "ventricular_fibrillation", "atrioventricular_block", "pulmonary_edema",
        "myocardial_rupture", "dressler_syndrome", "heart_failure" (chronic),
        "relapse" (of the infarction), "angina" (after the infarction) and "death"
        (of any cause); "all" is these twelve in this order.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    split_seed : int, default=2023
        Seed of the split.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    myocardial : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, 102)
            Floats with many missing values: measurements, degrees, and 0 and 1 for
            no and yes.
        target : DataFrame of shape (n_rows, n_tasks)
            0 and 1.
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
    S. E. Golovenkin et al.: Trajectories, bifurcations, and pseudo-time in large
    clinical datasets: applications to myocardial infarction and diabetes data.
    GigaScience 9(11), giaa128 (2020). https://doi.org/10.1093/gigascience/giaa128

    Examples
    --------
    >>> from dephn_sk.datasets import load_myocardial
    >>> X, y = load_myocardial(return_X_y=True)  # doctest: +SKIP
    >>> X.shape, y.shape  # doctest: +SKIP
    ((1020, 102), (1020, 12))
    """
    pd = _tables.import_pandas("load_myocardial")
    tasks = _tables.check_tasks(tasks, TASKS)
    path = _tables.find_file(data_home, "myocardial", "MI.csv", ORIGIN)
    rows = pd.read_csv(path, na_values="?")
    target = pd.DataFrame({task: rows[TASKS[task]] > 0 for task in tasks})
    data = rows.drop(columns=["ID", *LATER, *TASKS.values()])
    split = _tables.random_split(len(rows), 0.6, 0.8, seed=split_seed)
    return _tables.as_bunch(
        data.astype("float64"),
        target.astype("int64"),
        split,
        subset,
        return_X_y,
        __doc__,
    )
