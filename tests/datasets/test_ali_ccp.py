import numpy as np
import pytest

from dephn_sk.datasets import load_ali_ccp
from dephn_sk.datasets._ali_ccp import ITEM_FIELDS, USER_FIELDS, VALUE_FIELDS

pd = pytest.importorskip("pandas")

N_ROWS = {"train": 30, "test": 12}


def feature_list(features):
    return "\x01".join(f"{f}\x02{feature}\x03{v}" for f, feature, v in features)


def user_features(part, user):
    """The features of a user, whose numbers depend on the file and the user."""
    base = {"train": 1000, "test": 5000}[part] + 10 * user
    features = [(field, base + i, 1.0) for i, field in enumerate(USER_FIELDS)]
    history = [("109_14", base + 50 + i, 0.5 * i) for i in range(user)]
    return features[:-1] + history + features[-1:]  # in no order


def item_features(part, row):
    base = {"train": 100_000, "test": 500_000}[part] + 20 * row
    features = [(field, base + i, 0.25 * row) for i, field in enumerate(ITEM_FIELDS)]
    features = [f for f in features if f[0] != "853" or row % 3]  # sometimes missing
    return [*features, ("210", 7, 1.0), ("210", 8 + row % 2, 1.0)]


def labels(part):
    rng = np.random.default_rng(len(part))
    click = rng.integers(0, 2, N_ROWS[part])
    return click, click * rng.integers(0, 2, N_ROWS[part])


@pytest.fixture
def home(write, tmp_path):
    for part in ("train", "test"):
        lines = []
        for row, (click, bought) in enumerate(zip(*labels(part), strict=True)):
            features = item_features(part, row)
            user = f"{part[:2]}{row % 4:02d}"  # user 3 has no common features
            lines.append(
                f"{row + 1},{click},{bought},{user},{len(features)},"
                f"{feature_list(features)}\n"
            )
        write(f"ali_ccp/sample_skeleton_{part}.csv", "".join(lines))
        lines = []
        for user in range(3):
            features = user_features(part, user)
            lines.append(
                f"{part[:2]}{user:02d},{len(features)},{feature_list(features)}\n"
            )
        write(f"ali_ccp/common_features_{part}.csv.gz", "".join(lines))
    return tmp_path


def test_every_feature_is_read_and_joined_as_it_is_written(home):
    ali_ccp = load_ali_ccp(home, subset="all", list_fields=["210", "109_14"])
    X, i = ali_ccp.data, 0
    for part in ("train", "test"):
        for row in range(N_ROWS[part]):
            user, written = row % 4, item_features(part, row)
            if user < 3:
                written = written + user_features(part, user)
            members = {}
            for field, feature, _ in written:
                members.setdefault(field, []).append(feature)
            values = {f"{f}_value": v for f, _, v in written if f in VALUE_FIELDS}
            for name in X:
                if name in values:
                    assert X[name][i] == values[name]
                elif name in ("210", "109_14") and name in members:
                    assert X[name][i] == "|".join(map(str, members[name]))
                elif name in members:
                    assert [X[name][i]] == members[name]
                else:
                    assert pd.isna(X[name][i])
            i += 1
    assert i == len(X)


def test_labels_are_click_and_conversion(home):
    y = load_ali_ccp(home, subset="all").target
    expected = np.hstack([labels("train"), labels("test")]).T
    np.testing.assert_array_equal(y, expected)
    masked = load_ali_ccp(home, subset="all", missing_without_click=True).target
    assert (masked["conversion"].isna() == (y["click"] == 0)).all()
    clicked = y["click"] == 1
    assert (masked["conversion"][clicked] == y["conversion"][clicked]).all()


def test_test_file_is_the_test_set(home):
    whole = load_ali_ccp(home, subset="all")
    assert list(whole.split[30:]) == ["test"] * 12
    assert list(whole.split[:30]).count("train") == 27
    assert list(whole.split[:30]).count("validation") == 3
    X, y = load_ali_ccp(home, subset="test", return_X_y=True)
    pd.testing.assert_frame_equal(X, whole.data[30:].reset_index(drop=True))
    assert len(y) == 12


@pytest.mark.parametrize("chunk_size", [1, 7])
def test_size_of_the_chunks_does_not_matter(home, chunk_size):
    lists = ["150_14", "210", "109_14"]
    X = load_ali_ccp(home, chunk_size=chunk_size, list_fields=lists).data
    pd.testing.assert_frame_equal(X, load_ali_ccp(home, list_fields=lists).data)


def test_first_rows_of_both_files_alone_can_be_read(home):
    assert list(load_ali_ccp(home, n_rows=5, subset="all").split).count("test") == 5


def test_columns_have_their_types(home):
    X = load_ali_ccp(home).data
    values = [f"{name}_value" for name in VALUE_FIELDS]
    assert list(X) == [*USER_FIELDS, *ITEM_FIELDS, *values]
    assert X[values].dtypes.eq("float32").all()
    assert X.drop(columns=values).dtypes.eq("category").all()


@pytest.mark.parametrize(
    ("features", "announced", "message"),
    [
        ("205\x021\x031.0\x01206\x02x\x031.0", 2, r"not made of field"),
        ("205\x021\x031.0\x01206\x022\x031.0", 3, "hold 2 features where 3"),
        ("205\x021\x031.0\x01205\x022\x031.0", 2, "Field 205 has several values"),
    ],
)
def test_a_broken_feature_list_is_an_error(home, write, features, announced, message):
    line = f"1,0,0,tr00,{announced},{features}\n"
    write("ali_ccp/sample_skeleton_train.csv", line)
    with pytest.raises(ValueError, match=message):
        load_ali_ccp(home)


def test_unknown_list_field_is_named(home):
    with pytest.raises(ValueError, match=r"'109_4'.*Did you mean '109_14'"):
        load_ali_ccp(home, list_fields=["109_4"])


def test_missing_file_is_named_with_its_source(home):
    (home / "ali_ccp" / "sample_skeleton_test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"skeleton_test\.csv.*tianchi"):
        load_ali_ccp(home)
