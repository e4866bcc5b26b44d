import numpy as np
import pytest

from dephn_sk.datasets import load_criteo

pd = pytest.importorskip("pandas")

N_ROWS = 40


def cells():
    """The table as text: label, 13 integers, 26 hashes, some cells empty."""
    rng = np.random.default_rng(0)
    # digits only, and what other parsers take for numbers or missing values
    kinds = ["68fd1e64", "00000000", "12345678", "1234e567", "ffffffff", "80000000"]
    return [
        [
            str(rng.integers(0, 2)),
            *(rng.choice([str(rng.integers(-3, 2**31)), ""]) for _ in range(13)),
            *(rng.choice([*kinds, ""]) for _ in range(25)),
            "12345678",
        ]
        for _ in range(N_ROWS)
    ]


@pytest.fixture
def home(write, tmp_path):
    write("criteo/train.txt.gz", "".join("\t".join(row) + "\n" for row in cells()))
    return tmp_path


def test_every_cell_is_read_as_it_is_written(home):
    criteo = load_criteo(home, subset="all")
    for i, (label, *features) in enumerate(cells()):
        assert criteo.target["click"][i] == int(label)
        for name, cell in zip(criteo.feature_names, features, strict=True):
            value = criteo.data[name][i]
            if cell == "":
                assert pd.isna(value)
            else:
                assert value == int(cell, base=10 if name[0] == "I" else 16)


def test_columns_are_numbers_then_categories(home):
    criteo = load_criteo(home)
    assert criteo.task_names == ["click"]
    assert criteo.feature_names == [
        *(f"I{i}" for i in range(1, 14)),
        *(f"C{i}" for i in range(1, 27)),
    ]
    assert (criteo.data.dtypes[:13] == "float64").all()
    assert (criteo.data.dtypes[13:] == "category").all()
    assert list(criteo.data["C26"].cat.categories) == [0x12345678]


@pytest.mark.parametrize("chunk_size", [1, 7, 40])
def test_size_of_the_chunks_does_not_matter(home, chunk_size):
    X, y = load_criteo(home, chunk_size=chunk_size, return_X_y=True)
    expected = load_criteo(home)
    pd.testing.assert_frame_equal(X, expected.data)
    pd.testing.assert_frame_equal(y, expected.target)


def test_subsets_follow_each_other_in_time(home):
    whole = load_criteo(home, subset="all").data
    pieces = [load_criteo(home, subset=s).data for s in ("train", "validation", "test")]
    assert [len(piece) for piece in pieces] == [32, 4, 4]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)


def test_first_rows_alone_can_be_read(home):
    y = load_criteo(home, n_rows=10, chunk_size=4, subset="all").target
    assert list(y["click"]) == [int(row[0]) for row in cells()[:10]]


def test_file_without_labels_is_an_error(write, tmp_path):
    write("criteo/train.txt", "7\t" + "\t".join(cells()[0][1:]) + "\n")
    with pytest.raises(ValueError, match="label 0 or 1, got 7 in row 0"):
        load_criteo(tmp_path)


def test_missing_file_is_named_with_its_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.txt.*criteo\.com"):
        load_criteo(tmp_path)
