import numpy as np
import pytest

from dephn_sk.datasets import load_wechat2021

pd = pytest.importorskip("pandas")

REACTIONS = [
    "read_comment",
    "comment",
    "like",
    "click_avatar",
    "forward",
    "follow",
    "favorite",
]


def actions():
    rng = np.random.default_rng(0)
    n = 56
    frame = pd.DataFrame(
        {
            "userid": rng.integers(0, 9, n),
            "feedid": rng.integers(100, 104, n),
            "date_": np.arange(n) % 14 + 1,
            "device": rng.integers(1, 3, n),
        }
    )
    for name in REACTIONS:
        frame[name] = rng.integers(0, 2, n)
    frame.insert(7, "play", rng.integers(0, 9000, n))
    frame.insert(8, "stay", rng.integers(0, 9000, n))
    return frame


@pytest.fixture
def home(write, tmp_path):
    feeds = pd.DataFrame(
        {
            "feedid": [103, 102, 101, 100],
            "authorid": [3, 2, 1, 0],
            "videoplayseconds": [13, 12, 11, 10],
            "description": ["1 2", None, "3", "4"],
            "ocr": "5 6",
            "asr": None,
            "bgm_song_id": [30.0, None, 10.0, 0.0],
            "bgm_singer_id": [7.0, None, 7.0, 8.0],
            "manual_keyword_list": ["1;2", None, "3", "1"],
            "machine_keyword_list": ["1", "2;3", None, "4"],
            "manual_tag_list": ["5;6", "7", "8", None],
            "machine_tag_list": ["5 0.9;6 0.3", "7 0.5", None, "8 1.0"],
            "description_char": "1",
            "ocr_char": "2",
            "asr_char": None,
        }
    )
    write("wechat2021/feed_info.csv", feeds.to_csv(index=False))
    write("wechat2021/user_action.csv.xz", actions().to_csv(index=False))
    return tmp_path


def test_split_is_by_day(home):
    wechat = load_wechat2021(home, subset="all")
    expected = dict.fromkeys(range(1, 13), "train") | {13: "validation", 14: "test"}
    assert list(wechat.split) == [expected[day] for day in wechat.date]
    np.testing.assert_array_equal(wechat.date, actions()["date_"])
    assert len(load_wechat2021(home).data) == 48


def test_properties_of_the_videos_are_joined_by_id(home):
    X, log = load_wechat2021(home, subset="all").data, actions()
    feed = log["feedid"] - 100
    assert (X["videoplayseconds"] == 10 + feed).all()
    assert (X["authorid"].astype(int) == feed).all()
    songs = [value if pd.notna(value) else -1 for value in X["bgm_song_id"]]
    assert songs == [{0: 0, 1: 10, 2: -1, 3: 30}[i] for i in feed]
    assert set(X["machine_tag_list"][feed == 3]) == {"5 0.9;6 0.3"}
    assert X["machine_tag_list"][feed == 1].isna().all()


def test_features_hold_nothing_that_follows_the_exposure(home):
    X = load_wechat2021(home).data
    assert not set(X) & {*REACTIONS, "play", "stay", "date_"}
    assert X.dtypes.drop("videoplayseconds").eq("category").all()


def test_tasks_are_those_of_the_paper_or_all_seven(home):
    assert load_wechat2021(home).task_names == ["read_comment", "like", "click_avatar"]
    y = load_wechat2021(home, tasks="all", subset="all").target
    assert set(y) == set(REACTIONS)
    pd.testing.assert_frame_equal(y[REACTIONS], actions()[REACTIONS])


@pytest.mark.parametrize("chunk_size", [1, 10])
def test_size_of_the_chunks_does_not_matter(home, chunk_size):
    X, y = load_wechat2021(home, chunk_size=chunk_size, return_X_y=True)
    expected = load_wechat2021(home)
    pd.testing.assert_frame_equal(X, expected.data)
    pd.testing.assert_frame_equal(y, expected.target)


def test_first_rows_alone_can_be_read(home):
    assert len(load_wechat2021(home, n_rows=5, subset="all").data) == 5


def test_missing_file_is_named_with_its_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"feed_info\.csv.*algo\.weixin"):
        load_wechat2021(tmp_path)
