import hashlib
import io
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from dephn_sk.datasets import _census_income, fetch_census_income, load_census_income

pd = pytest.importorskip("pandas")

EDUCATION = ["Children", "High school graduate", *_census_income.COLLEGE]
MARITAL = ["Never married", "Divorced", "Widowed"]


def census_text(n_rows, seed):
    """Rows as in the archive: no header, a blank after each comma."""
    rng = np.random.default_rng(seed)
    columns = {name: ["Not in universe"] * n_rows for name in _census_income.COLUMNS}
    for name in [*_census_income.NUMERIC, *_census_income.CODES]:
        columns[name] = rng.integers(0, 50, n_rows)
    columns["education"] = rng.choice(EDUCATION, n_rows)
    columns["marital_stat"] = rng.choice(MARITAL, n_rows)
    columns["hisp_origin"] = rng.choice(["NA", "All other"], n_rows)
    columns["mig_chg_msa"] = rng.choice(["?", "Nonmover"], n_rows)
    columns["major_occ_code"] = ["Handlers equip cleaners etc "] * n_rows
    columns["income_50k"] = rng.choice(["- 50000.", "50000+."], n_rows)
    rows = zip(*columns.values(), strict=True)
    return "\n".join(", ".join(map(str, row)) for row in rows) + "\n"


@pytest.fixture
def home(write, tmp_path):
    write("census/census-income.data.gz", census_text(200, seed=0))
    write("census/census-income.test.xz", census_text(50, seed=1))
    return tmp_path


def test_subsets_are_disjoint_and_together_everything(home):
    frames = [
        load_census_income(home, subset=subset, return_X_y=True)[0]
        for subset in ("train", "validation", "test")
    ]
    whole = load_census_income(home, subset="all")
    assert [len(frame) for frame in frames] == [180, 20, 50]
    for frame, subset in zip(frames, ("train", "validation", "test"), strict=True):
        expected = whole.data[whole.split == subset].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, expected)


def test_training_rows_are_those_of_the_protocol(home):
    rows = load_census_income(home, subset="all").split
    order = np.random.default_rng(2023).permutation(200)
    assert set(rows[order[:180]]) == {"train"}
    assert set(rows[order[180:]]) == {"validation"}


@pytest.mark.parametrize(
    ("tasks", "dropped"),
    [
        (["income"], set()),
        (["income", "never_married"], {"marital_stat"}),
        (["any_college"], {"education", "hs_college"}),
        (["education"], {"education", "hs_college"}),
        (
            ["marital_status"],
            {"marital_stat", "det_hh_fam_stat", "det_hh_summ", "tax_filer_stat"},
        ),
    ],
)
def test_columns_that_give_a_task_away_are_dropped(home, tasks, dropped):
    census = load_census_income(home, tasks=tasks)
    never = {"income_50k", "instance_weight"}
    assert set(census.data) == set(_census_income.COLUMNS) - dropped - never
    assert list(census.target) == census.task_names == tasks
    assert census.feature_names == list(census.data)


def test_labels_are_read_from_their_columns(home):
    census = load_census_income(home, tasks="all", subset="all")
    y = census.target
    assert set(y["marital_status"]) == set(MARITAL)
    assert set(y["education"]) == set(EDUCATION)
    assert (y["never_married"] == (y["marital_status"] == "Never married")).all()
    assert (y["any_college"] == y["education"].isin(_census_income.COLLEGE)).all()
    text = census_text(200, seed=0) + census_text(50, seed=1)
    rich = [line.endswith("50000+.") for line in text.splitlines()]
    np.testing.assert_array_equal(y["income"], rich)


def test_question_mark_is_missing_and_na_is_an_answer(home):
    X = load_census_income(home).data
    assert list(X["mig_chg_msa"].cat.categories) == ["Nonmover"]
    assert 0 < X["mig_chg_msa"].isna().sum() < len(X)
    assert list(X["hisp_origin"].cat.categories) == ["All other", "NA"]
    assert list(X["major_occ_code"].cat.categories) == ["Handlers equip cleaners etc"]


def test_dtypes_are_the_same_in_every_subset(home):
    train, test = (
        load_census_income(home, subset=subset).data for subset in ("train", "test")
    )
    pd.testing.assert_series_equal(train.dtypes, test.dtypes)
    assert (train.dtypes == "category").sum() == 32
    assert (train.dtypes == "float64").sum() == 7


def test_missing_file_is_named_with_source_and_licence(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPHN_SK_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"census-income\.data.*CC BY 4\.0"):
        load_census_income()


def test_folder_comes_from_argument_then_environment_then_home(
    home, monkeypatch, tmp_path_factory
):
    empty = tmp_path_factory.mktemp("empty")
    monkeypatch.setenv("DEPHN_SK_DATA", str(empty))
    assert len(load_census_income(home).data) == 180
    monkeypatch.setenv("DEPHN_SK_DATA", str(home))
    assert len(load_census_income().data) == 180
    monkeypatch.delenv("DEPHN_SK_DATA")
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("USERPROFILE", str(empty))
    with pytest.raises(FileNotFoundError, match="dephn_sk_data"):
        load_census_income()


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["incone"], "Did you mean 'income'"),
        ("income", r"tasks=\('income',\)"),
        ([], "empty"),
        (["income", "income"], "twice"),
    ],
)
def test_wrong_tasks_are_named(tmp_path, tasks, message):
    with pytest.raises(ValueError, match=message):
        load_census_income(tmp_path, tasks=tasks)


def test_without_pandas_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"dephn-sk\[frames\]"):
        load_census_income(tmp_path)


@pytest.fixture
def archive(tmp_path_factory, monkeypatch):
    """An archive as at UCI (a tar in a zip), and its address and digests."""
    contents = {
        "census-income.data": census_text(200, seed=0).encode(),
        "census-income.test": census_text(50, seed=1).encode(),
        "census-income.names": b"not wanted",
    }
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path = tmp_path_factory.mktemp("uci") / "census.zip"
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("census.tar.gz", inner.getvalue())
    digests = {
        name: hashlib.sha256(contents[name]).hexdigest()
        for name in _census_income.SHA256
    }
    monkeypatch.setattr(_census_income, "URL", path.as_uri())
    monkeypatch.setattr(_census_income, "SHA256", digests)
    return path


def test_fetch_downloads_once_and_then_reads_the_cache(archive, tmp_path):
    fetched = fetch_census_income(tmp_path)
    archive.unlink()  # a second download would fail
    again = fetch_census_income(tmp_path)
    pd.testing.assert_frame_equal(fetched.data, again.data)
    assert len(fetched.data) == 180
    assert sorted(path.name for path in (tmp_path / "census").iterdir()) == [
        "census-income.data.gz",
        "census-income.test.gz",
    ]


def test_fetch_equals_load(archive, home, tmp_path_factory):
    fetched = fetch_census_income(tmp_path_factory.mktemp("new"), tasks="all")
    pd.testing.assert_frame_equal(
        fetched.data, load_census_income(home, tasks="all").data
    )


def test_wrong_checksum_stores_nothing(archive, tmp_path, monkeypatch):
    monkeypatch.setitem(_census_income.SHA256, "census-income.test", "0" * 64)
    with pytest.raises(OSError, match="SHA-256"):
        fetch_census_income(tmp_path)
    assert not list((tmp_path / "census").iterdir())


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"<html>"])
def test_damaged_archive_stores_nothing(archive, tmp_path, damage):
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(OSError, match="no readable archive"):
        fetch_census_income(tmp_path)
    assert not list((tmp_path / "census").iterdir())


def test_offline_the_error_says_what_to_do(archive, tmp_path):
    archive.unlink()
    with pytest.raises(OSError, match="Without a connection, put census-income"):
        fetch_census_income(tmp_path)


def test_fetch_does_not_download_when_told_not_to(archive, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"census-income\.data"):
        fetch_census_income(tmp_path, download_if_missing=False)
    assert not (tmp_path / "census").exists()


@pytest.mark.data
def test_real_files_have_the_rows_and_rates_of_the_protocol(data_home):
    census = load_census_income(
        data_home, tasks=("income", "never_married", "any_college"), subset="all"
    )
    sizes = dict(zip(*np.unique(census.split, return_counts=True), strict=True))
    assert sizes == {"train": 179_570, "validation": 19_953, "test": 99_762}
    np.testing.assert_allclose(census.target.mean(), [0.062, 0.433, 0.336], atol=5e-4)
    assert census.data.shape == (299_285, 37)
    assert load_census_income(data_home).data.shape == (179_570, 39)
    assert census.data.memory_usage(deep=True).sum() < 50e6
