import numpy as np
import pytest

from dephn_sk.datasets import load_oulad

pd = pytest.importorskip("pandas")

RESULTS = ["Withdrawn", "Fail", "Pass", "Distinction"]


@pytest.fixture
def home(write, tmp_path):
    n = 80
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "code_module": rng.choice(["AAA", "BBB"], n),
            "code_presentation": rng.choice(["2013J", "2014B"], n),
            "id_student": rng.integers(1000, 1040, n),
            "gender": rng.choice(["M", "F"], n),
            "imd_band": rng.choice(["0-10%", "20-Oct", None], n),
            "num_of_prev_attempts": rng.integers(0, 3, n),
            "studied_credits": 60,
            "disability": "N",
            "final_result": rng.choice(RESULTS, n),
        }
    )
    write("oulad/studentInfo.csv", rows.to_csv(index=False))
    return tmp_path


def test_no_student_is_in_two_subsets(home):
    oulad = load_oulad(home, subset="all")
    pairs = set(zip(oulad.id_student, oulad.split, strict=True))
    students = np.unique(oulad.id_student)
    assert len(pairs) == len(students)
    subsets = [subset for _, subset in pairs]
    assert subsets.count("train") == int(0.6 * len(students))
    assert {"train", "validation", "test"} == set(subsets)


def test_training_students_are_those_of_the_protocol(home):
    oulad = load_oulad(home, subset="train")
    students = np.unique(load_oulad(home, subset="all").id_student)
    order = np.random.default_rng(2023).permutation(students)
    assert set(oulad.id_student) == set(order[: int(0.6 * len(students))])


def test_tasks_are_nested_and_come_from_the_result(home):
    y = load_oulad(home, tasks="all", subset="all").target
    assert set(y["result"]) == set(RESULTS)
    rank = y["result"].map(RESULTS.index)
    assert (y["completed"] == (rank >= 1)).all()
    assert (y["passed"] == (rank >= 2)).all()
    assert (y["distinction"] == (rank >= 3)).all()


def test_features_hold_neither_student_nor_result(home):
    X, y = load_oulad(home, return_X_y=True)
    assert not {"id_student", "final_result"} & set(X)
    assert list(y) == ["completed", "passed", "distinction"]
    assert list(X["imd_band"].cat.categories) == ["0-10%", "10-20%"]
    numeric = ["num_of_prev_attempts", "studied_credits"]
    assert (X[numeric].dtypes == "float64").all()
    assert (X.drop(columns=numeric).dtypes == "category").all()


def test_missing_file_is_named_with_source_and_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"studentInfo\.csv.*CC BY 4\.0"):
        load_oulad(tmp_path)


@pytest.mark.data
def test_real_file_has_the_rows_and_rates_of_the_protocol(data_home):
    oulad = load_oulad(data_home, tasks="all", subset="all")
    assert oulad.data.shape == (32_593, 10)
    rates = oulad.target[["completed", "passed", "distinction"]].mean()
    np.testing.assert_allclose(rates, [0.688, 0.472, 0.093], atol=5e-4)
    assert oulad.target["result"].nunique() == 4
    assert (np.unique(oulad.id_student[oulad.split == "train"]).size) == 17_271
