"""Drug consumption: who people are, and what they take.

Answers of 1,885 people to an online survey, collected from 2011 to 2012: who they are,
seven scores of their personality, and when they last took each of 19 substances. The
file is ``drug_consumption.data``.

Source: UCI Machine Learning Repository, https://doi.org/10.24432/C5TC7S.
Licence: CC BY 4.0.
"""

from collections.abc import Sequence

from . import _tables

ORIGIN = "https://doi.org/10.24432/C5TC7S, under CC BY 4.0"
CATEGORIES = ("gender", "country", "ethnicity")
FEATURES = """
age gender education country ethnicity neuroticism extraversion openness agreeableness
conscientiousness impulsiveness sensation_seeking
""".split()
SUBSTANCES = """
alcohol amphetamines amyl_nitrite benzodiazepines caffeine cannabis chocolate cocaine
crack ecstasy heroin ketamine legal_highs lsd methadone mushrooms nicotine semeron
volatile_substances
""".split()
WITHIN_A_YEAR = ("CL3", "CL4", "CL5", "CL6")
TASKS = [name for name in SUBSTANCES if name not in ("chocolate", "semeron")]


@_tables.loader
def load_drugs(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = "all",
    subset: str = "train",
    split_seed: int = 2023,
    return_X_y: bool = False,
) -> _tables.Loaded:
    """Load the survey of drug consumption from a file on disk.

    Few rows and many related tasks: whether a substance was taken within the last
    year. Chocolate, which almost everybody eats, and semeron, which does not exist
    and was put in to find who boasts, are no tasks. The split is at random, 60 %
    for training, 20 % for validation, 20 % for the test; of so few rows, average
    over several splits. Rows keep the order of the file.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``drugs/drug_consumption.data``, plain or compressed (.gz,
        .xz, .bz2). By default the environment variable ``DEPHN_SK_DATA``, else
        ``~/dephn_sk_data``.
    tasks : sequence of str or "all", default="all"
        Columns of the target, out of "alcohol", "amphetamines", "amyl_nitrite",
        "benzodiazepines", "caffeine", "cannabis", "cocaine", "crack", "ecstasy",
        "heroin", "ketamine", "legal_highs", "lsd", "methadone", "mushrooms",
        "nicotine" and "volatile_substances"; "all" is these 17 in this order.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    split_seed : int, default=2023
        Seed of the split.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    drugs : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, 12)
            ``gender``, ``country`` and ``ethnicity`` of dtype category, with the
            same categories in every subset: the numbers that the file has for them.
            ``age`` and ``education``, which are ordered, and the scores as floats.
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
    E. Fehrman, A. K. Muhammad, E. M. Mirkes, V. Egan, A. N. Gorban: The Five Factor
    Model of personality and evaluation of drug consumption risk.
    https://arxiv.org/abs/1506.06297

    Examples
    --------
    >>> from dephn_sk.datasets import load_drugs
    >>> X, y = load_drugs(return_X_y=True)  # doctest: +SKIP
    >>> X.shape, y.shape  # doctest: +SKIP
    ((1131, 12), (1131, 17))
    """
    pd = _tables.import_pandas("load_drugs")
    tasks = _tables.check_tasks(tasks, TASKS)
    path = _tables.find_file(data_home, "drugs", "drug_consumption.data", ORIGIN)
    # commas or blanks between columns: the file is offered with either
    names = ["id", *FEATURES, *SUBSTANCES]
    rows = pd.read_csv(path, header=None, names=names, sep=r"[,\s]+", engine="python")
    numeric = [name for name in FEATURES if name not in CATEGORIES]
    data = _tables.typed(rows[FEATURES], numeric)
    taken = {task: _tables.label(rows[task], WITHIN_A_YEAR) for task in tasks}
    split = _tables.random_split(len(rows), 0.6, 0.8, seed=split_seed)
    return _tables.as_bunch(
        data, pd.DataFrame(taken), split, subset, return_X_y, __doc__
    )
