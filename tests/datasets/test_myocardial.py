import numpy as np
import pytest

from dephn_sk.datasets import _myocardial, load_myocardial

pd = pytest.importorskip("pandas")

FACTS = ["AGE", "SEX", "ZSN_A", "NA_KB", *_myocardial.LATER, "ASP_S_n"]


def rows(n=100):
    rng = np.random.default_rng(0)
    facts = rng.integers(0, 3, (n, len(FACTS))).astype(float)
    facts[rng.uniform(size=facts.shape) < 0.2] = np.nan
    frame = pd.DataFrame(facts, columns=FACTS)
    frame.insert(0, "ID", np.arange(n))
    for column in _myocardial.TASKS.values():
        frame[column] = rng.integers(0, 2, n)
    frame["LET_IS"] = rng.choice([0, 0, 1, 4, 7], n)
    return frame


@pytest.fixture
def home(write, tmp_path):
    write("myocardial/MI.csv.gz", rows().to_csv(index=False))
    return tmp_path


def test_what_is_known_later_and_what_is_asked_for_are_no_features(home):
    X, y = load_myocardial(home, subset="all", return_X_y=True)
    assert list(X) == ["AGE", "SEX", "ZSN_A", "NA_KB", "ASP_S_n"]
    assert (X.dtypes == "float64").all()
    np.testing.assert_array_equal(X, rows()[list(X)])
    assert list(y) == list(_myocardial.TASKS)


def test_a_death_is_a_death_of_any_cause(home):
    y = load_myocardial(home, tasks=["death", "relapse"], subset="all").target
    np.testing.assert_array_equal(y["death"], rows()["LET_IS"] > 0)
    np.testing.assert_array_equal(y["relapse"], rows()["REC_IM"])


@pytest.mark.parametrize("seed", [2023, 2042])
def test_the_split_is_that_of_the_protocol_with_its_seed(home, seed):
    split = load_myocardial(home, subset="all", split_seed=seed).split
    order = np.random.default_rng(seed).permutation(100)
    assert set(split[order[:60]]) == {"train"}
    assert set(split[order[60:80]]) == {"validation"}
    assert set(split[order[80:]]) == {"test"}


def test_missing_file_is_named_with_source_and_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MI\.csv.*CC BY 4\.0"):
        load_myocardial(tmp_path)


@pytest.mark.data
def test_real_file_has_the_rows_and_rates_of_the_protocol(data_home):
    heart = load_myocardial(data_home, subset="all")
    assert heart.data.shape == (1700, 102)
    assert "ID" not in heart.data
    rates = heart.target.mean()
    assert rates.min() == rates["supraventricular_tachycardia"]
    np.testing.assert_allclose(rates.min(), 0.012, atol=5e-4)
    np.testing.assert_allclose(rates["heart_failure"], 0.232, atol=5e-4)
    np.testing.assert_allclose(rates["death"], 0.159, atol=5e-4)
