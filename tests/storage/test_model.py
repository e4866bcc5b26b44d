"""What was fitted comes back from its file, and what no file holds is refused."""

from __future__ import annotations

import copy
import json
import warnings
import zipfile

import numpy as np
import pytest
import torch
from _logs import SMALL, assert_same_learned, make_log
from _models import COLUMNS, ESTIMATORS, encoder, labels, repeated, small, table
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import StepLR

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier, MultiTaskClassifier, TaskView
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.metrics import task_roc_auc, task_scorer, task_scorers
from dephn_sk.model_selection import MultiLabelStratifiedKFold, search_space
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.storage import CLASSES, ModelFileError

X, Y = make_log()


@pytest.fixture(scope="module")
def fitted():
    return DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)


def through_file(model, path, **how):
    dephn_sk.save(model, path, training=how.pop("training", False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return dephn_sk.load(path, **how)


def through_skops(model, path):
    io = pytest.importorskip("skops.io")
    content = io.dumps(model)
    assert set(io.get_untrusted_types(data=content)) <= {*dephn_sk.TRUSTED_TYPES}
    return io.loads(content, trusted=dephn_sk.TRUSTED_TYPES)


ROADS = {
    "file": through_file,
    "mapped": lambda model, path: through_file(model, path, mmap=True),
    "training": lambda model, path: through_file(model, path, training=True),
    "skops": through_skops,
}


# ------------------------------------------------------------------- every estimator


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_with_every_kind_of_column(name, road, tmp_path):
    model = small(ESTIMATORS[name], encoder=encoder()).fit(table(), labels())
    read = ROADS[road](model, tmp_path / "model.zip")
    assert type(read) is type(model)
    assert_array_equal(read.predict_proba(table()), model.predict_proba(table()))
    assert read.task_names_ == model.task_names_
    assert read.task_rates_ == model.task_rates_
    assert_array_equal(read.classes_, model.classes_)
    assert_array_equal(read.feature_names_in_, model.feature_names_in_)
    assert read.n_features_in_ == model.n_features_in_
    assert read.n_iter_ == model.n_iter_
    assert read.net_.history == model.net_.history
    assert repr(read.encoder_.report_) == repr(model.encoder_.report_)


OPTIONS = {
    "paper": dict(DEPHNMultiTaskClassifier.paper_configuration().get_params()),
    "stopped early": {"early_stopping": True, "weight_averaging": 0.9, "max_epochs": 4},
    "float64": {"dtype": "float64", "task_weights": "uncertainty"},
    "weighted": {
        "task_weights": {"click": 2.0, "buy": 1.0},
        "class_weight": "balanced",
    },
    "periodic": {"numeric_embedding": "periodic|linear+bins", "n_bins": 5},
    "watched": {"monitor": ("score", "buy"), "early_stopping": True},
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("option", OPTIONS)
def test_options(option, road, tmp_path):
    given = {**SMALL, "max_epochs": 2, **OPTIONS[option]}
    given |= {"batch_size": 32, "random_state": 0, "n_threads": 1}
    given["max_epochs"] = 4 if option == "stopped early" else 2
    model = DEPHNMultiTaskClassifier(**given).fit(X, Y)
    read = ROADS[road](model, tmp_path / "model.zip")
    assert_array_equal(read.predict_proba(X), model.predict_proba(X))
    assert read.kept_epoch_ == model.kept_epoch_
    assert read.get_params() == model.get_params()


TARGETS = {
    "one task": Y["click"],
    "text": Y["click"].map({0: "no", 1: "ja\0"}),
    "three classes": Y["click"] + Y["buy"],
    "one class": Y["click"] * 0,
    "mixed": Y.assign(three=np.arange(len(Y)) % 3),
    "missing": Y.where(Y["click"] == 1, np.nan).assign(click=Y["click"]),
}


@pytest.mark.parametrize("target", TARGETS)
def test_kinds_of_label(target, tmp_path):
    model = DEPHNMultiTaskClassifier(**SMALL).fit(X, TARGETS[target])
    read = through_file(model, tmp_path / "model.zip")
    assert_array_equal(read.predict(X), model.predict(X))
    assert read.predict(X).dtype == model.predict(X).dtype
    for task, own in zip(read.tasks_.tasks, model.tasks_.tasks, strict=True):
        assert task.classes.dtype == own.classes.dtype


# ------------------------------------------------------------------- every column


def assert_same_vocabulary(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype
        pairs = list(zip(values.tolist(), other[name].tolist(), strict=True))
        assert all(type(a) is type(b) and repr(a) == repr(b) for a, b in pairs)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("column", COLUMNS)
def test_categories_come_back_equal_and_of_the_same_type(column, road, tmp_path):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(
        {"c": pd.Series(repeated(COLUMNS[column]), dtype=object), "n": np.arange(80.0)}
    )
    learned = FieldEncoder(categorical_features=["c"], missing_category=True).fit(X)
    read = ROADS[road](learned, tmp_path / "encoder.zip")
    assert_same_vocabulary(read.vocabulary_, learned.vocabulary_)
    assert_array_equal(read.encode(X).codes, learned.encode(X).codes)
    raw = [one.inverse_transform(one.transform(X))["c"] for one in (read, learned)]
    assert list(map(repr, raw[0])) == list(map(repr, raw[1]))
    more = X.iloc[::-1].reset_index(drop=True)
    assert_same_vocabulary(
        read.partial_fit(more).vocabulary_,
        copy.deepcopy(learned).partial_fit(more).vocabulary_,
    )


@pytest.mark.parametrize("road", ROADS)
def test_an_encoder_goes_on_where_it_was(road, tmp_path):
    learned = encoder().fit(table(), labels())
    read = ROADS[road](learned, tmp_path / "encoder.zip")
    more = table().iloc[::-1].reset_index(drop=True)
    for one in (read, learned):
        one.partial_fit(more, labels())
    codes = [one.encode(table()) for one in (read, learned)]
    assert_array_equal(codes[0].codes, codes[1].codes)
    assert_array_equal(codes[0].numbers, codes[1].numbers)
    assert read.cardinalities_ == learned.cardinalities_
    crossed = [one.encode_cross_fitted(table(), labels()) for one in (read, learned)]
    assert_array_equal(crossed[0].numbers, crossed[1].numbers)
    assert_array_equal(read.get_feature_names_out(), learned.get_feature_names_out())


def test_an_encoder_of_an_array_and_with_another_output(tmp_path):
    rows = np.array([["a", 1.0], ["b", 2.0]], dtype=object)
    learned = FieldEncoder().set_output(transform="pandas").fit(rows)
    read = through_file(learned, tmp_path / "encoder.zip")
    assert not hasattr(read, "feature_names_in_")
    assert read.transform(rows).equals(learned.transform(rows))


# ------------------------------------------------------------------- going on


STOPPING = {"early_stopping": True, "weight_averaging": 0.9, "warm_start": True}
SCHEDULE = {
    "callbacks": [LRScheduler("StepLR", step_size=1), GradientNormClipping(1.0)]
}


@pytest.mark.parametrize("options", [{}, STOPPING, SCHEDULE, STOPPING | SCHEDULE])
def test_training_goes_on_bit_for_bit(options, tmp_path):
    model = DEPHNMultiTaskClassifier(**{**SMALL, **options}).fit(X, Y)
    read = through_file(model, tmp_path / "model.zip", training=True)
    assert_same_learned(read, model)
    more = X.assign(shop=X["shop"].replace("a", "new"))
    for one in (read, model):
        one.partial_fit(more, Y)
    assert_same_learned(read, model)


@pytest.mark.parametrize("options", [{}, STOPPING, SCHEDULE, STOPPING | SCHEDULE])
def test_without_training_it_goes_on_as_after_trim(options, tmp_path):
    model = DEPHNMultiTaskClassifier(**{**SMALL, **options}).fit(X, Y)
    before = copy.deepcopy(model.network_.state_dict())
    read = through_file(model, tmp_path / "model.zip")
    assert all(p.requires_grad for p in read.network_.parameters())
    assert {k: v.tolist() for k, v in before.items()} == {
        k: v.tolist() for k, v in model.network_.state_dict().items()
    }
    read.set_params(callbacks=options.get("callbacks"))
    more = X.assign(shop=X["shop"].replace("a", "new"))
    read.partial_fit(more, Y)
    model.trim().partial_fit(more, Y)
    assert_array_equal(read.predict_proba(X), model.predict_proba(X))


def test_a_mapped_model_is_trained_in_memory_alone(fitted, tmp_path):
    path = tmp_path / "model.zip"
    wide = {"embedding_dim": 64, "batch_size": 999, "target_statistics": None}
    big = DEPHNMultiTaskClassifier(**{**SMALL, **wide})
    ids = X.assign(id=[f"user {i}" for i in range(len(X))])
    ids = ids.loc[ids.index.repeat(60)].reset_index(drop=True)
    ids["id"] = [f"user {i}" for i in range(len(ids))]
    big.fit(ids, Y.loc[Y.index.repeat(60)].reset_index(drop=True))
    read = through_file(big, path, mmap=True)
    table = next(read.network_.tables()).table
    assert table.nbytes >= 2**20
    before = path.read_bytes()
    again = dephn_sk.load(path, mmap=True)
    read.partial_fit(ids, Y.loc[Y.index.repeat(60)])
    assert path.read_bytes() == before
    assert_array_equal(again.predict_proba(ids), big.predict_proba(ids))
    through_file(again, path)  # over the file that it is mapped from
    assert_array_equal(again.predict_proba(ids), big.predict_proba(ids))


# ------------------------------------------------------------------- around a model


def compared(model, read, X):
    one, other = (estimator.predict_proba(X) for estimator in (read, model))
    assert type(one) is type(other)
    pairs = zip(one, other, strict=True) if isinstance(one, list) else [(one, other)]
    for pair in pairs:
        assert_array_equal(*pair)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("target", ["mixed", "one task", "three classes"])
def test_a_calibrator(method, target, road, tmp_path):
    y = TARGETS[target]
    model = DEPHNMultiTaskClassifier(**SMALL).fit(X, y)
    calibrated = TaskCalibrator(model, method=method).fit(X, y)
    read = ROADS[road](calibrated, tmp_path / "model.zip")
    compared(calibrated, read, X)
    assert_array_equal(read.feature_names_in_, calibrated.feature_names_in_)


@pytest.mark.parametrize("road", ROADS)
def test_a_view(fitted, road, tmp_path):
    view = fitted.task("buy")
    read = ROADS[road](view, tmp_path / "model.zip")
    assert isinstance(read, TaskView)
    compared(view, read, X)
    refit = clone(view).fit(X, Y["buy"])
    compared(refit, ROADS[road](refit, tmp_path / "model.zip"), X)


def pipelines():
    number = ColumnTransformer(
        [("scaled", StandardScaler(), ["size"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = DEPHNMultiTaskClassifier(**SMALL)
    yield make_pipeline(number, model)
    yield make_pipeline(FieldEncoder(), model)
    yield make_pipeline(FunctionTransformer(), clone(model))
    yield GridSearchCV(model, {"embedding_dim": [2, 3]}, cv=KFold(2))
    yield GridSearchCV(
        make_pipeline(number, model),
        [
            {
                "dephnmultitaskclassifier": [
                    clone(model),
                    small(ESTIMATORS["MMoEClassifier"]),
                ]
            }
        ],
        cv=MultiLabelStratifiedKFold(2),
        scoring=task_scorer("log_loss"),
    )
    yield RandomizedSearchCV(
        model,
        {**search_space(), "embedding_dim": [2], "batch_size": [32]},
        n_iter=2,
        cv=ShuffleSplit(1, random_state=np.random.RandomState(0)),
        scoring={**task_scorers(task_roc_auc, ["click"]), "mean": task_scorer("score")},
        refit="mean",
        random_state=np.random.RandomState(0),
    )


@pytest.mark.parametrize("i", range(6))
def test_pipelines_and_searches(i, tmp_path):
    pytest.importorskip("skops")
    model = list(pipelines())[i].fit(X, Y)
    read = through_file(model, tmp_path / "model.zip")
    assert type(read) is type(model)
    compared(model, read, X)
    assert type(read).__name__ in repr(read)
    if hasattr(model, "cv_results_"):
        assert read.best_params_.keys() == model.best_params_.keys()
        assert read.cv_results_.keys() == model.cv_results_.keys()
        assert_array_equal(
            read.cv_results_["mean_fit_time"], model.cv_results_["mean_fit_time"]
        )
        assert read.score(X, Y) == model.score(X, Y)
    assert_array_equal(  # fitted again, it is the same again
        clone(read).fit(X, Y).predict_proba(X), clone(model).fit(X, Y).predict_proba(X)
    )


@pytest.mark.parametrize("i", range(3))
def test_pipelines_through_skops(i, tmp_path):
    model = list(pipelines())[i].fit(X, Y)
    compared(model, through_skops(model, tmp_path), X)


def test_ours_within_an_estimator_of_scikit_learn(fitted, tmp_path):
    pytest.importorskip("skops")
    frozen = FrozenEstimator(make_pipeline(FrozenEstimator(fitted)))
    compared(fitted, through_file(frozen, tmp_path / "model.zip"), X)
    compared(
        TaskCalibrator(make_pipeline(fitted)).fit(X, Y),
        through_file(
            TaskCalibrator(make_pipeline(fitted)).fit(X, Y), tmp_path / "m.zip"
        ),
        X,
    )


def test_routed_metadata_stays_requested(fitted, tmp_path):
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        model = clone(fitted).set_fit_request(sample_weight=True).fit(X, Y)
        read = through_file(model, tmp_path / "model.zip")
        wanted = model.get_metadata_routing().fit.requests
        assert read.get_metadata_routing().fit.requests == wanted
        assert wanted["sample_weight"] is True


# ------------------------------------------------------------------- parameters

VALUES = {
    "random_state": np.random.RandomState(3),
    "callbacks": [
        ("s", LRScheduler(StepLR, step_size=np.int64(2), gamma=0.5)),
        GradientNormClipping(0.1),
        EarlyStopping("train_loss", patience=99),
        GradientNormClipping,
    ],
    "class_weight": {"click": {0: 1.0, 1: np.float32(2)}, "buy": "balanced"},
    "task_weights": np.array([1.0, 2.0]),
    "categorical_features": np.array(["shop"], dtype=object),
    "expert_hidden": np.array([4, 4]),
    "public_experts": ["dnn", "cross"],
    "monitor": ("loss", "buy"),
    "learning_rate": np.float64(1e-3),
    "n_bins": np.int16(9),
    "early_stopping": np.bool_(False),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_parameter_comes_back_as_it_was(name, tmp_path):
    model = DEPHNMultiTaskClassifier(**{**SMALL, name: VALUES[name]}).fit(X, Y)
    read = through_file(model, tmp_path / "model.zip", training=True)
    assert_same_value(getattr(read, name), getattr(model, name))
    assert_same_value(read.fitted_params_[name], model.fitted_params_[name])
    compared(model.partial_fit(X, Y), read.partial_fit(X, Y), X)


def assert_same_value(one, other):
    assert type(one) is type(other)
    if isinstance(one, Callback):
        one, other = one.get_params(), other.get_params()
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_value(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for pair in zip(one, other, strict=True):
            assert_same_value(*pair)
    elif isinstance(one, np.random.RandomState):
        assert one.get_state()[1].tolist() == other.get_state()[1].tolist()
    elif isinstance(one, np.ndarray):
        assert_array_equal(one, other)
    else:
        assert one == other


# ------------------------------------------------------------------- refused


class Mine(Callback):
    pass


class Stranger(DEPHNMultiTaskClassifier):
    pass


def triple(x):
    return 3 * x


REFUSED = {
    "mappings": {"mappings": ("raw", triple)},
    "virtual_gradient": {"virtual_gradient": lambda s, d: s},
    "callbacks": {"callbacks": [("mine", Mine())]},
    "callbacks of a class": {"callbacks": [Mine]},
    "callbacks with a function": {
        "callbacks": [LRScheduler("LambdaLR", lr_lambda=lambda epoch: 1.0)]
    },
    "encoder": {"encoder": type("Own", (FieldEncoder,), {})()},
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("training", [False, True])
def test_what_no_file_holds_is_refused_by_the_parameters_name(name, training, tmp_path):
    model = DEPHNMultiTaskClassifier(**{**SMALL, **REFUSED[name]}).fit(X, Y)
    parameter = name.split()[0]
    with pytest.raises(
        ValueError, match=rf"parameter {parameter} of this DEPHN.*no fil"
    ):
        model.save(tmp_path / "model.zip", training=training)
    assert not list(tmp_path.iterdir())
    if parameter == "callbacks" and not training:  # as the message says
        model.set_params(callbacks=None)
        compared(model, through_file(model, tmp_path / "model.zip"), X)


def test_a_class_that_no_file_holds_is_refused_by_name(tmp_path):
    model = Stranger(**SMALL).fit(X, Y)
    for one in (
        model,
        TaskView(model, "buy"),
        make_pipeline(model),
        TaskCalibrator(model).fit(X, Y),
    ):
        with pytest.raises(ValueError, match=r"Stranger.* no (class|file)"):
            dephn_sk.save(one, tmp_path / "model.zip")
    for one in ({}, None, LogisticRegression, "model", torch.nn.Linear(1, 1)):
        with pytest.raises(ValueError, match="no class that files hold"):
            dephn_sk.save(one, tmp_path / "model.zip")
    assert not list(tmp_path.iterdir())


def test_a_class_of_ones_own_is_one_entry(tmp_path):
    CLASSES.append(Stranger)
    try:
        model = Stranger(**SMALL).fit(X, Y)
        read = through_file(model, tmp_path / "model.zip")
        assert type(read) is Stranger
        compared(model, read, X)
    finally:
        CLASSES.remove(Stranger)
    with pytest.raises(ModelFileError, match="Stranger"):
        dephn_sk.load(tmp_path / "model.zip")


def test_what_hangs_on_an_estimator_is_refused_by_name(fitted, tmp_path):
    model = copy.copy(fitted)
    model.note = "mine"
    with pytest.raises(ValueError, match=r"attribute note .* Delete it"):
        model.save(tmp_path / "model.zip")
    del model.note
    model.save(tmp_path / "model.zip")


def test_steps_that_skops_does_not_trust_are_refused(tmp_path):
    pytest.importorskip("skops")
    model = make_pipeline(
        FunctionTransformer(triple_sizes), DEPHNMultiTaskClassifier(**SMALL)
    )
    model.fit(X, Y)
    with pytest.raises(ValueError, match=r"skops does not trust .*triple_sizes"):
        dephn_sk.save(model, tmp_path / "model.zip")


def triple_sizes(frame):
    return frame.assign(size=3 * frame["size"])


@pytest.mark.parametrize(
    "model",
    [DEPHNMultiTaskClassifier(), FieldEncoder(), make_pipeline(FieldEncoder())],
)
def test_what_is_not_fitted_is_not_saved(model, tmp_path):
    with pytest.raises(NotFittedError):
        dephn_sk.save(model, tmp_path / "model.zip")
    with pytest.raises(NotFittedError):
        TaskView(DEPHNMultiTaskClassifier(), "buy").save(tmp_path / "model.zip")


# ------------------------------------------------------------------- loading


def test_the_device_is_ones_choice(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / "model.zip")
    assert dephn_sk.load(tmp_path / "model.zip", device="cpu").net_.device == "cpu"
    with pytest.raises(ValueError, match="device='warp' cannot be used"):
        dephn_sk.load(tmp_path / "model.zip", device="warp")


def test_a_newer_format_is_named_with_this_one(fitted, tmp_path, monkeypatch):
    from dephn_sk.storage import _archive

    monkeypatch.setattr(_archive, "FORMAT", 7)
    fitted.save(tmp_path / "model.zip")
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match=r"format 7, .* up to 1"):
        dephn_sk.load(tmp_path / "model.zip")


def test_a_file_of_another_kind_is_no_model(tmp_path):
    from dephn_sk.storage import _archive

    _archive.write(tmp_path / "checkpoint.zip", {"kind": "checkpoint"}, {}, {})
    with pytest.raises(ModelFileError, match="'checkpoint', and no model"):
        dephn_sk.load(tmp_path / "checkpoint.zip")


def test_the_manifest_says_by_which_versions_it_was_written(fitted, tmp_path):
    fitted.save(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        manifest = json.loads(file.read("manifest.json"))
    assert manifest["versions"]["dephn_sk"] == dephn_sk.__version__
    assert manifest["versions"]["torch"] == torch.__version__


def test_a_file_is_as_large_as_safetensors_of_its_tables(tmp_path):
    tables = pytest.importorskip("safetensors.torch")
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 40_000, (40_000, 2)).astype(object)
    model = DEPHNMultiTaskClassifier(
        **{**SMALL, "embedding_dim": 16, "max_epochs": 1, "batch_size": 4096},
        categorical_features=[0, 1],
    ).fit(rows, rng.integers(0, 2, (len(rows), 2)))
    model.save(tmp_path / "model.zip")
    tables.save_file(model.network_.state_dict(), tmp_path / "tables")
    vocabularies = sum(
        one.counts.values.nbytes + one.counts.sums.nbytes + one.codes_of.nbytes
        for one in model.encoder_._encoding.kinds.values()
    )
    size = (tmp_path / "model.zip").stat().st_size
    assert size < 1.02 * ((tmp_path / "tables").stat().st_size + vocabularies) + 2**15


def test_global_generators_are_left_alone(fitted, tmp_path):
    fitted.save(tmp_path / "model.zip")
    np.random.seed(3)
    torch.manual_seed(3)
    dephn_sk.load(tmp_path / "model.zip")
    drawn = np.random.random(), torch.rand(1).item()
    np.random.seed(3)
    torch.manual_seed(3)
    assert drawn == (np.random.random(), torch.rand(1).item())


def test_the_base_class_is_abstract_still():
    with pytest.raises(TypeError):
        MultiTaskClassifier()


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ModelFileError) as caught:
        dephn_sk.load(path)
    assert str(caught.value).startswith(f"{str(path)!r}: The file is no model file")
