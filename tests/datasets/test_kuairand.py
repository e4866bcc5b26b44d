import numpy as np
import pytest

from dephn_sk.datasets import load_kuairand

pd = pytest.importorskip("pandas")

LABELS = [
    "is_click",
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_hate",
    "long_view",
    "is_profile_enter",
]
AFTERWARDS = ["play_time_ms", "profile_stay_time", "comment_stay_time", *LABELS]


def log_frame():
    n = 60
    rng = np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, 5, n),
            "video_id": rng.integers(0, 4, n),
            "date": np.repeat([20220430, 20220501, 20220508], 20),
            "hourmin": rng.integers(0, 24, n) * 100,
            "time_ms": 1650812741436 + np.arange(n),
        }
    )
    for name in LABELS:
        log[name] = rng.integers(0, 2, n)
    for name in ("play_time_ms", "duration_ms", "profile_stay_time"):
        log[name] = rng.integers(0, 1000, n)
    return log.assign(comment_stay_time=0, is_rand=0, tab=rng.integers(0, 3, n))


@pytest.fixture
def home(write, tmp_path):
    log = log_frame()
    log = pd.concat([log.iloc[[0, 0]], log.iloc[1:]])  # an exact duplicate
    write("kuairand/log_standard_4_25_to_5_08_pure.csv.xz", log.to_csv(index=False))
    users = pd.DataFrame(
        {
            "user_id": range(5),
            "user_active_degree": ["full_active", "low_active"] * 2 + ["UNKNOWN"],
            "is_lowactive_period": 0,
            "follow_user_num": [10, 20, 30, 40, 50],
            "onehot_feat4": [1.0, None, 2.0, 3.0, 1.0],
        }
    )
    write("kuairand/user_features_pure.csv", users.to_csv(index=False))
    videos = pd.DataFrame(
        {
            "video_id": [3, 2, 1, 0],  # not in the order of the ids
            "author_id": [13, 12, 11, 10],
            "visible_status": 0.0,
            "video_duration": 1.0,
            "server_width": [103.0, 102.0, 101.0, 100.0],
            "tag": ["39", "1,2", None, "3"],
        }
    )
    write("kuairand/video_features_basic_pure.csv.gz", videos.to_csv(index=False))
    return tmp_path


def test_split_is_by_date_and_exact_duplicates_are_gone(home):
    kuairand = load_kuairand(home, subset="all")
    expected = np.repeat(["train", "validation", "test"], 20)
    np.testing.assert_array_equal(kuairand.split, expected)
    np.testing.assert_array_equal(kuairand.time_ms, log_frame()["time_ms"])
    for subset in ("train", "validation", "test"):
        X, y = load_kuairand(home, subset=subset, return_X_y=True)
        assert len(X) == len(y) == 20


def test_features_of_users_and_videos_are_joined_by_id(home):
    X, log = load_kuairand(home, subset="all").data, log_frame()
    assert (X["user_id"].astype(int) == log["user_id"]).all()
    assert (X["follow_user_num"] == 10 + 10 * log["user_id"]).all()
    assert (X["author_id"].astype(int) == 10 + log["video_id"]).all()
    assert (X["server_width"] == 100 + log["video_id"]).all()
    assert (X["hour"].astype(int) == log["hourmin"] // 100).all()
    assert (X["onehot_feat4"].isna() == (log["user_id"] == 1)).all()


def test_nothing_that_follows_the_exposure_is_a_feature(home):
    X = load_kuairand(home).data
    assert not set(X) & {*AFTERWARDS, "date", "time_ms", "is_rand"}


def test_long_view_is_missing_exactly_where_there_was_no_click(home):
    y, log = load_kuairand(home, subset="all").target, log_frame()
    assert list(y) == ["is_click", "long_view", "is_like"]
    assert (y["long_view"].isna() == (log["is_click"] == 0)).all()
    clicked = log["is_click"] == 1
    assert (y["long_view"][clicked] == log["long_view"][clicked]).all()


def test_all_eight_tasks_can_be_complete(home):
    kuairand = load_kuairand(
        home, tasks="all", missing_without_click=False, subset="all"
    )
    assert set(kuairand.task_names) == set(LABELS)
    expected = log_frame()[kuairand.task_names]
    pd.testing.assert_frame_equal(kuairand.target, expected, check_dtype=False)


def test_dtypes_are_the_same_in_every_subset(home):
    train, test = (load_kuairand(home, subset=s).data for s in ("train", "test"))
    pd.testing.assert_series_equal(train.dtypes, test.dtypes)
    floats = {"duration_ms", "follow_user_num", "server_width"}
    assert set(train.columns[train.dtypes == "float64"]) == floats
    assert (train.drop(columns=list(floats)).dtypes == "category").all()


def test_missing_file_is_named_with_source_and_licence(home):
    (home / "kuairand" / "user_features_pure.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"user_features_pure.*CC BY-SA 4\.0"):
        load_kuairand(home)


@pytest.mark.data
def test_real_files_have_the_rows_and_rates_of_the_protocol(data_home):
    kuairand = load_kuairand(
        data_home, tasks="all", missing_without_click=False, subset="all"
    )
    sizes = dict(zip(*np.unique(kuairand.split, return_counts=True), strict=True))
    assert sizes == {"train": 92_034, "validation": 20_270, "test": 110_565}
    assert (np.diff(kuairand.time_ms) >= 0).all()
    rates = kuairand.target.mean()
    assert rates["is_click"] == pytest.approx(0.449, abs=5e-4)
    assert rates["long_view"] == pytest.approx(0.316, abs=5e-4)
    assert rates["is_like"] == pytest.approx(0.0174, abs=5e-5)
    assert rates["is_hate"] == pytest.approx(0.00084, abs=5e-6)
    masked = load_kuairand(data_home).target
    assert (masked["long_view"].isna() == (masked["is_click"] == 0)).all()


def test_seconds_of_watching_are_a_task_where_they_are_asked_for(home):
    log = load_kuairand(home, tasks=["is_click", "play_time"], subset="all")
    raw = log_frame().drop_duplicates()
    assert log.target["play_time"].tolist() == (raw["play_time_ms"] / 1000).tolist()
    assert log.duration.tolist() == (raw["duration_ms"] / 1000).tolist()
    assert not {"play_time", "play_time_ms"} & {*log.data}
    assert "play_time" not in load_kuairand(home, tasks="all").target
