import numpy as np
import pytest

from dephn_sk.datasets import _drugs, load_drugs

pd = pytest.importorskip("pandas")


def text(separator, n=100):
    """Rows as in the archive, and the answers on cannabis."""
    rng = np.random.default_rng(0)
    codes = [-0.5, 0.11, 1.9]
    lines, cannabis = [], []
    for i in range(1, n + 1):
        facts = [f"{value:.5f}" for value in rng.choice(codes, len(_drugs.FEATURES))]
        answers = [f"CL{k}" for k in rng.integers(0, 7, len(_drugs.SUBSTANCES))]
        cannabis.append(answers[_drugs.SUBSTANCES.index("cannabis")])
        lines.append(separator.join([str(i), *facts, *answers]))
    return "\n".join(lines) + "\n", cannabis


@pytest.fixture
def home(write, tmp_path):
    write("drugs/drug_consumption.data.xz", text(" ")[0])
    return tmp_path


def test_a_task_is_use_within_the_last_year(home):
    y = load_drugs(home, tasks=["cannabis"], subset="all").target
    expected = [int(answer[-1]) >= 3 for answer in text(" ")[1]]
    np.testing.assert_array_equal(y["cannabis"], expected)


def test_what_everybody_or_nobody_takes_is_no_task_and_no_feature(home):
    X, y = load_drugs(home, return_X_y=True)
    assert list(X) == _drugs.FEATURES
    assert y.shape[1] == 17
    assert not {"chocolate", "semeron"} & set(y)
    kinds = X.dtypes.astype(str)
    assert list(kinds[kinds == "category"].index) == ["gender", "country", "ethnicity"]
    assert set(kinds) == {"category", "float64"}


def test_commas_between_the_columns_read_like_blanks(write, home, tmp_path):
    write("other/drugs/drug_consumption.data", text(",")[0])
    for blank, comma in zip(
        load_drugs(home, return_X_y=True),
        load_drugs(tmp_path / "other", return_X_y=True),
        strict=True,
    ):
        pd.testing.assert_frame_equal(blank, comma)


@pytest.mark.parametrize("seed", [2023, 2042])
def test_the_split_is_that_of_the_protocol_with_its_seed(home, seed):
    split = load_drugs(home, subset="all", split_seed=seed).split
    order = np.random.default_rng(seed).permutation(100)
    assert set(split[order[:60]]) == {"train"}
    assert set(split[order[60:80]]) == {"validation"}
    assert set(split[order[80:]]) == {"test"}


def test_missing_file_is_named_with_source_and_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"drug_consumption.*CC BY 4\.0"):
        load_drugs(tmp_path)


@pytest.mark.data
def test_real_file_has_the_rows_and_rates_of_the_protocol(data_home):
    drugs = load_drugs(data_home, subset="all")
    assert drugs.data.shape == (1885, 12)
    assert drugs.target.shape == (1885, 17)
    rates = drugs.target[["alcohol", "cannabis", "heroin"]].mean()
    np.testing.assert_allclose(rates, [0.928, 0.530, 0.063], atol=5e-4)
