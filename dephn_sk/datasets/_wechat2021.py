"""WeChat Big Data Challenge 2021: reactions to short videos.

Fourteen days of anonymized videos shown to users of WeChat Channels, with seven
reactions: 7,317,882 rows in ``user_action.csv`` of the first round. Properties of
the videos are in ``feed_info.csv``.

Source: https://algo.weixin.qq.com. Terms: those of the competition; the files
cannot be passed on with this library.
"""

from collections.abc import Sequence

import numpy as np

from . import _tables

FOLDER = "wechat2021"
ORIGIN = "https://algo.weixin.qq.com, under the terms of the competition"
TASKS = "read_comment like click_avatar forward favorite comment follow".split()
LOG_FEATURES = ["userid", "feedid", "device"]
NUMERIC = ("videoplayseconds",)  # all other columns are categories
FEED_FEATURES = """
authorid videoplayseconds bgm_song_id bgm_singer_id manual_keyword_list
machine_keyword_list manual_tag_list machine_tag_list
""".split()


@_tables.loader
def load_wechat2021(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = ("read_comment", "like", "click_avatar"),
    subset: str = "train",
    n_rows: int | None = None,
    chunk_size: int = 1_000_000,
    return_X_y: bool = False,
) -> _tables.Loaded:
    """Load the data of the WeChat Big Data Challenge 2021 from files on disk.

    The properties of the videos are joined. The split is by day: training on the
    days 1 to 12, validation on day 13, test on day 14 (the labels of the
    competition's own test set were never given out). Rows keep the order of the
    file.

    How long a video was played and stayed on happens after the exposure and is
    never a feature. The texts of the videos (description, speech, and characters
    recognized in the picture) are left out.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``wechat2021/user_action.csv`` and
        ``wechat2021/feed_info.csv``, plain or compressed (.gz, .xz, .bz2). By
        default the environment variable ``DEPHN_SK_DATA``, else
        ``~/dephn_sk_data``.
    tasks : sequence of str or "all", \
            default=("read_comment", "like", "click_avatar")
        Columns of the target, out of "read_comment", "like", "click_avatar",
        "forward", "favorite", "comment" and "follow". The default is the three
        tasks of the DEPHN paper.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    n_rows : int, default=None
        Read only that many rows from the beginning of ``user_action.csv``.
    chunk_size : int, default=1_000_000
        Rows that are parsed at a time. It changes the memory needed, not the result.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    wechat : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, 11)
            Ids, device and lists of dtype category with the same categories in
            every subset, ``videoplayseconds`` as floats. The members of lists are
            separated by semicolons; those of ``machine_tag_list`` carry their
            probability after a blank.
        target : DataFrame of shape (n_rows, n_tasks)
            0 and 1.
        date : ndarray of shape (n_rows,)
            The day, from 1 to 14; no feature.
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

    Examples
    --------
    >>> from dephn_sk.datasets import load_wechat2021
    >>> X, y = load_wechat2021(return_X_y=True)  # doctest: +SKIP
    >>> y.columns.tolist()  # doctest: +SKIP
    ['read_comment', 'like', 'click_avatar']
    """
    pd = _tables.import_pandas("load_wechat2021")
    tasks = _tables.check_tasks(tasks, TASKS)
    path = _tables.find_file(data_home, FOLDER, "feed_info.csv", ORIGIN)
    feeds = pd.read_csv(path, index_col="feedid")[FEED_FEATURES]
    feeds = _tables.typed(feeds, NUMERIC)
    for name in ("bgm_song_id", "bgm_singer_id"):  # missing ids made the others floats
        feeds[name] = feeds[name].cat.rename_categories(int)
    with pd.read_csv(
        _tables.find_file(data_home, FOLDER, "user_action.csv", ORIGIN),
        usecols=[*LOG_FEATURES, "date_", *tasks],
        dtype=dict.fromkeys(["date_", "device", *tasks], "int8"),
        nrows=n_rows,
        chunksize=chunk_size,
    ) as chunks:
        log = _tables.stacked(chunks)
    data = log[LOG_FEATURES].join(feeds, on="feedid", validate="m:1")
    data, target = _tables.typed(data, NUMERIC), log[tasks].astype("int64")
    date = log["date_"].to_numpy()
    split = np.select([date <= 12, date == 13], _tables.SUBSETS[:2], "test")
    return _tables.as_bunch(data, target, split, subset, return_X_y, __doc__, date=date)
