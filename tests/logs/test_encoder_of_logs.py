"""FieldEncoder learns from the pieces of a log what it learns from all rows at once."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from _logs_on_disk import FEATURES, TASKS, parquet, table_of

from dephn_sk.logs import Log
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.storage._objects import Objects
from dephn_sk.storage._plain import flatten

TABLE = table_of()
OPTIONS = {
    "plain": {},
    "auto": {"target_statistics": "auto", "min_frequency": "auto"},
    "named": {"target_statistics": ["user_id", "item"], "scaling": "squash"},
    "time": {"target_statistics": ["item"], "time_column": "shown", "target_folds": 4},
    "hashed": {
        "categorical_features": ["user_id", "item", "device", "member"],
        "n_buckets": {"user_id": 64},
        "n_hashes": {"user_id": 2},
        "shared_vocabularies": [["item", "device"]],
        "missing_category": True,
    },
    "ids": {
        "categorical_features": ["user_id", "item", "device", "member", "age"],
        "target_statistics": "auto",
        "min_frequency": {"user_id": 5},
        "max_categories": {"item": 20},
    },
}


def fitted(options):
    return FieldEncoder(random_state=0, **options)


def assert_same_state(one, other):
    (tree, arrays), (others_tree, others) = (
        flatten(each, Objects().to_state) for each in (one, other)
    )
    assert tree == others_tree
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
        assert array.dtype == others[name].dtype


@pytest.mark.parametrize("n_groups", [1, 7, 100])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("weight", [None, "weight"])
def test_a_log_gives_the_encoder_of_its_rows(options, n_groups, weight, tmp_path):
    dataset = parquet(TABLE, tmp_path, n_groups)
    log = Log(dataset, FEATURES, memory=2**24)
    given = None if weight is None else TABLE[weight].to_numpy()
    theirs = fitted(OPTIONS[options]).fit(
        TABLE.select(FEATURES), TABLE.select(TASKS), given
    )
    ours = fitted(OPTIONS[options]).fit(log, TASKS, weight)
    assert_same_state(ours, theirs)
    if options in ("auto", "ids"):
        assert any("statistics" in one for one in ours.report_.decisions)
    for one, other in zip(ours.edges(8), theirs.edges(8), strict=True):
        np.testing.assert_array_equal(one, other)


def test_processes_count_what_one_counts(tmp_path):
    dataset = parquet(TABLE, tmp_path, 7)
    one, four = (
        fitted(OPTIONS["auto"]).fit(Log(dataset, FEATURES, n_jobs=n), TASKS, "weight")
        for n in (1, 4)
    )
    assert_same_state(one, four)


def in_pandas():
    for start in range(0, len(TABLE), 1000):
        yield TABLE.slice(start, 1000).to_pandas()


@pytest.mark.parametrize(
    "data",
    [
        pl.from_arrow(TABLE).lazy(),
        lambda: iter(TABLE.to_batches(max_chunksize=900)),
        lambda: (pl.from_arrow(TABLE.slice(i, 2000)) for i in range(0, 6000, 2000)),
        in_pandas,
    ],
    ids=["LazyFrame", "batches", "polars", "pandas"],
)
def test_rows_come_from_queries_and_iterators(data):
    theirs = fitted(OPTIONS["auto"]).fit(TABLE.select(FEATURES), TABLE.select(TASKS))
    ours = fitted(OPTIONS["auto"]).fit(Log(data, FEATURES), TASKS)
    assert_same_state(ours, theirs)


@pytest.mark.parametrize("form", ["csv", "feather", "parquet"])
def test_partitions_are_columns(form, tmp_path):
    names = ["item", "price", "device", *TASKS]
    table = TABLE.select(names).set_column(2, "device", TABLE["device"].cast("string"))
    ds.write_dataset(
        table.filter(table["device"].is_valid()),
        tmp_path,
        format=form,
        partitioning=ds.partitioning(table.select(["device"]).schema, flavor="hive"),
    )
    partitioning = ds.partitioning(flavor="hive")
    dataset = ds.dataset(tmp_path, format=form, partitioning=partitioning)
    theirs = fitted({}).fit(dataset.to_table().select(["item", "price", "device"]))
    ours = fitted({}).fit(Log(dataset, ["item", "price", "device"]))
    assert_same_state(ours, theirs)
    assert "device" in ours.vocabulary_


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("null", ["", "NA", "?"])
def test_a_text_that_says_null_is_missing_in_csv_files(null, filtered, tmp_path):
    text = pd.DataFrame({"shop": ["x", null, "y", None, "x"] * 20, "n": range(100)})
    text.to_csv(tmp_path / "log.csv", index=False)
    own = csv.ConvertOptions(null_values=["?", "", "NA"])
    scan = ds.CsvFragmentScanOptions(convert_options=own)
    form = ds.CsvFileFormat(default_fragment_scan_options=scan)
    dataset = ds.dataset(tmp_path, format=form if null == "?" else "csv")
    dataset = dataset.filter(ds.field("n") >= 0) if filtered else dataset
    read = pd.read_csv(tmp_path / "log.csv", na_values=["?"])
    assert read["shop"].isna().sum() == 40
    ours = fitted({}).fit(Log(dataset, ["shop", "n"]))
    assert_same_state(ours, fitted({}).fit(read))


def test_a_filter_of_a_dataset_holds(tmp_path):
    dataset = parquet(TABLE, tmp_path, 7).filter(ds.field("age") > 40)
    theirs = fitted({}).fit(dataset.to_table().select(FEATURES))
    assert_same_state(fitted({}).fit(Log(dataset, FEATURES)), theirs)
    assert Log(dataset).n_rows == len(dataset.to_table())


def test_an_encoder_grows_by_a_log(tmp_path):
    options = {"target_statistics": ["item"], "min_frequency": 3}
    parts = TABLE.slice(0, 2500), TABLE.slice(2500)
    theirs, ours = fitted(options), fitted(options)
    for i, part in enumerate(parts):
        theirs.partial_fit(part.select(FEATURES), part.select(TASKS))
        log = Log(parquet(part, tmp_path / str(i), 3), FEATURES, memory=2**24)
        ours.partial_fit(log, TASKS)
    assert_same_state(ours, theirs)


def bad(tmp_path, name, row, value):
    column = TABLE[name].to_pylist()
    column[row] = value
    i = TABLE.column_names.index(name)
    return parquet(TABLE.set_column(i, name, [column]), tmp_path, 7)


def test_a_bad_value_is_named_with_its_place(tmp_path):
    dataset = bad(tmp_path, "price", 4321, float("inf"))
    with pytest.raises(ValueError) as error:
        fitted({}).fit(Log(dataset, FEATURES, memory=2**24))
    for word in (
        "'price'",
        "inf",
        "7.parquet",
        "Row 4321 of",
        "row group 5",
        "row 31 ",
    ):
        assert word in str(error.value), error.value


def test_a_weight_below_zero_is_named_with_its_place(tmp_path):
    dataset = bad(tmp_path, "weight", 1234, -1.0)
    with pytest.raises(ValueError, match=r"row 1234 is -1.*row 376 of row group 1 of"):
        fitted({}).fit(Log(dataset, FEATURES), sample_weight="weight")


def test_a_file_that_is_cut_is_named(tmp_path):
    dataset = parquet(TABLE, tmp_path, 7)
    path = tmp_path / "7.parquet"
    whole = path.read_bytes()
    log = Log(dataset, FEATURES)
    assert log.n_rows == 6000  # the end of the file was read
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"7.parquet.*has changed"):
        fitted({}).fit(log)
    with pytest.raises(ValueError, match=r"7.parquet.*cut or damaged"):
        fitted({}).fit(Log(ds.dataset(path, schema=TABLE.schema), FEATURES))


def test_a_file_that_changes_is_named(tmp_path):
    log = Log(parquet(TABLE, tmp_path, 7), FEATURES)
    assert log.n_rows == 6000
    parquet(table_of(seed=1), tmp_path, 7)
    encoder = fitted({})
    with pytest.raises(ValueError, match=r"7.parquet.*has changed"):
        encoder.fit(log)
    assert not hasattr(encoder, "n_features_in_")


def test_a_column_without_a_type_in_the_first_file_asks_for_a_schema(tmp_path):
    """A column of nulls has the type null, and so has the dataset."""
    for i, values in enumerate(([None] * 5, [0.5] * 5)):
        pq.write_table(
            pa.table({"a": [1, 2, 3, 4, 5], "b": values}), tmp_path / f"{i}.parquet"
        )
    with pytest.raises(ValueError, match=r"1.parquet.* another type .*schema="):
        fitted({}).fit(Log(ds.dataset(tmp_path)))
    schema = pa.schema({"a": pa.int64(), "b": pa.float64()})
    assert fitted({}).fit(Log(ds.dataset(tmp_path, schema=schema))).n_features_in_ == 2


def test_an_iterator_that_gives_other_rows_is_an_error():
    calls = []

    def frames():
        calls.append(1)
        return iter([TABLE.slice(0, 4000 if len(calls) < 2 else 3000)])

    with pytest.raises(ValueError, match="held 4000 rows, and now holds 3000"):
        fitted({}).fit(Log(frames, FEATURES))


def test_a_vocabulary_beyond_the_memory_is_named():
    n = 1_500_000
    table = {"id": np.arange(n), "item": np.arange(n) % 7}
    log = Log(lambda: iter([pa.table(table)]), memory=2**24)
    with pytest.raises(ValueError, match=r"'id' has .* distinct values.*n_buckets"):
        FieldEncoder(categorical_features=["id"], target_statistics=None).fit(log)
    FieldEncoder(categorical_features=["id"], n_buckets={"id": 100}).fit(log)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": ["clik"]}, "y names the column 'clik'.*'click'"),
        ({"y": TABLE["click"].to_numpy()}, "y=ndarray cannot be used with a log"),
        ({"y": ["click", "click"]}, "twice"),
        ({"sample_weight": "tags"}, "'tags', which holds"),
        ({"y": None}, "requires y"),
    ],
)
def test_what_a_log_cannot_do_is_said(given, message):
    options = {"target_statistics": ["item"]}
    call = {"y": TASKS, **given}
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(options).fit(Log(ds.dataset(TABLE), FEATURES), **call)


def test_a_splitter_is_for_memory():
    from sklearn.model_selection import KFold

    encoder = FieldEncoder(target_statistics="auto", target_folds=KFold(3))
    with pytest.raises(ValueError, match=r"target_folds=KFold.*give a number"):
        encoder.fit(Log(ds.dataset(TABLE), FEATURES), TASKS)
