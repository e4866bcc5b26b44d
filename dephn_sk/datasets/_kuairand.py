"""KuaiRand-Pure, the standard log of a short-video app.

Impressions of videos in the app Kuaishou from 25 April to 8 May 2022 with twelve
kinds of feedback, features of users and of videos: 228,329 rows, 222,869 without
exact duplicates. Files: ``log_standard_4_25_to_5_08_pure.csv``,
``user_features_pure.csv``, ``video_features_basic_pure.csv``.

Source: https://kuairand.com, https://zenodo.org/records/10439422.
Licence: CC BY-SA 4.0.
"""

from collections.abc import Sequence

import numpy as np

from . import _tables

FOLDER = "kuairand"
FILES = ("log_standard_4_25_to_5_08", "user_features", "video_features_basic")
ORIGIN = "https://zenodo.org/records/10439422 (KuaiRand-Pure), under CC BY-SA 4.0"
TASKS = """
is_click long_view is_like is_profile_enter is_comment is_follow is_forward is_hate
""".split()
AMOUNTS = {"play_time": "play_time_ms"}  # in seconds
LOG_FEATURES = ["user_id", "video_id", "hour", "tab", "duration_ms"]
NUMERIC = """
duration_ms follow_user_num fans_user_num friend_user_num register_days server_width
server_height
""".split()  # all other columns are categories
NO_FEATURE = ["is_lowactive_period", "visible_status", "video_duration"]


@_tables.loader
def load_kuairand(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = ("is_click", "long_view", "is_like"),
    missing_without_click: bool = True,
    subset: str = "train",
    return_X_y: bool = False,
) -> _tables.Loaded:
    """Load the standard log of KuaiRand-Pure from files on disk.

    Exact duplicates are dropped, the features of users and videos joined. The
    split is by date: training from 25 to 30 April 2022 (92,034 rows), validation
    on 1 May (20,270), test from 2 to 8 May (110,565). Rows are in time order.

    What happens after the exposure (times of playing, of staying on the profile
    and on the comments, and every label) is never a feature; neither is the date.
    Three columns of the files that are constant and ``video_duration``, which
    repeats ``duration_ms``, are left out.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``kuairand/log_standard_4_25_to_5_08_pure.csv``,
        ``kuairand/user_features_pure.csv`` and
        ``kuairand/video_features_basic_pure.csv``, plain or compressed (.gz, .xz,
        .bz2). By default the environment variable ``DEPHN_SK_DATA``, else
        ``~/dephn_sk_data``.
    tasks : sequence of str or "all", default=("is_click", "long_view", "is_like")
        Columns of the target, out of "is_click", "long_view", "is_like",
        "is_profile_enter", "is_comment", "is_follow", "is_forward", "is_hate" and
        "play_time"; "all" is the first eight in this order. ``play_time`` is the
        seconds for which the video was watched.
    missing_without_click : bool, default=True
        Whether ``long_view`` counts as not observed (NaN) where the video was not
        clicked, as a conversion after a click does. If False it is complete.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    kuairand : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, n_features)
            Ids and codes of dtype category, with the same categories in every
            subset; counts, sizes and ``duration_ms`` as floats. ``hour`` is the
            hour of the day of the exposure, ``tag`` a list of numbers joined by
            commas.
        target : DataFrame of shape (n_rows, n_tasks)
            0 and 1; ``long_view`` with NaN where it is not observed; seconds of
            ``play_time``.
        duration : ndarray of shape (n_rows,)
            Seconds of the video, which are a feature in milliseconds: what
            ``play_time`` may be divided by.
        time_ms : ndarray of shape (n_rows,)
            Time of the exposure, in milliseconds since 1970 (UTC); no feature.
        feature_names, task_names : list of str
            Columns of `data` and of `target`.
        split : ndarray of shape (n_rows,)
            The subset of each row.
        DESCR : str
            Description, source and licence.

    Raises
    ------
    FileNotFoundError
        If a file is missing.

    References
    ----------
    Chongming Gao et al.: KuaiRand: An Unbiased Sequential Recommendation Dataset
    with Randomly Exposed Videos. CIKM 2022.
    https://doi.org/10.1145/3511808.3557624

    Examples
    --------
    >>> from dephn_sk.datasets import load_kuairand
    >>> X, y = load_kuairand(return_X_y=True)  # doctest: +SKIP
    >>> eight = load_kuairand(
    ...     tasks="all", missing_without_click=False
    ... )  # doctest: +SKIP
    """
    pd = _tables.import_pandas("load_kuairand")
    known = TASKS if isinstance(tasks, str) else [*TASKS, *AMOUNTS]
    tasks = _tables.check_tasks(tasks, known)
    log, users, videos = (
        pd.read_csv(_tables.find_file(data_home, FOLDER, f"{name}_pure.csv", ORIGIN))
        for name in FILES
    )
    log = log.drop_duplicates(ignore_index=True)
    if missing_without_click:
        log["long_view"] = log["long_view"].where(log["is_click"] == 1)
    for name, column in AMOUNTS.items():
        if name in tasks:
            log[name] = log[column] / 1000
    data = log.assign(hour=log["hourmin"] // 100)[LOG_FEATURES]
    for key, table in (("user_id", users), ("video_id", videos)):
        features = table.set_index(key).drop(columns=NO_FEATURE, errors="ignore")
        data = data.join(_tables.typed(features, NUMERIC), on=key, validate="m:1")
    data = _tables.typed(data, NUMERIC)
    date, time = log["date"], log["time_ms"].to_numpy()
    days = [date < 20220501, date == 20220501]
    split = np.select(days, _tables.SUBSETS[:2], "test")
    per_row = {"time_ms": time, "duration": log["duration_ms"].to_numpy() / 1000}
    return _tables.as_bunch(
        data, log[tasks], split, subset, return_X_y, __doc__, **per_row
    )
