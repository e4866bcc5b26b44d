"""scikit-learn's callbacks hear of every epoch, and leave nothing behind."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.metrics import task_scorer

try:
    import sklearn.callback as callback
except ImportError:
    callback = None

needs_callbacks = pytest.mark.skipif(callback is None, reason="needs scikit-learn 1.9")
LOG_LOSS = task_scorer("log_loss")


def make_model(**changes):
    small = {
        "embedding_dim": 2,
        "public_experts": ("dnn",),
        "private_experts": (),
        "expert_hidden": (4,),
        "n_layers": 1,
        "n_bins": 4,
        "max_epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.05,
        "early_stopping": False,
        "random_state": 0,
    }
    return DEPHNMultiTaskClassifier(**{**small, **changes})


RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 3))
Y = (X[:, :2] + RNG.logistic(size=(100, 2)) > 0).astype(float)
Y[::5, 1] = np.nan


class Listener:
    """Writes down what it hears; asks to stop after `last`; fails in `broken`."""

    def __init__(self, last=None, broken=None):
        self.last, self.broken = last, broken
        self.heard, self.models = [], []

    def setup(self, estimator, context):
        self.heard.append(("setup", context.task_name, context.max_subtasks))

    def teardown(self, estimator, context):
        self.heard.append(("teardown", context.task_name, context.max_subtasks))

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        self.heard.append(("begin", context.task_name, context.task_id))
        self.started = fitted_estimator

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator
    ):
        self.heard.append(("end", context.task_name, context.task_id))
        self.given = SimpleNamespace(X=X, y=y, metadata=metadata)
        self.models.append(fitted_estimator)
        if context.task_name == "epoch":
            if self.broken == context.task_id:
                raise RuntimeError("broken callback")
            return self.last == context.task_id
        return False


@needs_callbacks
def test_every_epoch_begins_and_ends_within_the_fit():
    listener = Listener()
    make_model(max_epochs=2).set_callbacks(listener).fit(X, Y, sample_weight=Y[:, 0])
    assert listener.heard == [
        ("setup", "fit", 2),
        ("begin", "fit", 0),
        ("begin", "epoch", 0),
        ("end", "epoch", 0),
        ("begin", "epoch", 1),
        ("end", "epoch", 1),
        ("end", "fit", 0),
        ("teardown", "fit", 2),
    ]
    assert listener.given.X is X
    assert listener.given.y is Y
    assert_array_equal(listener.given.metadata["sample_weight"], Y[:, 0])


@needs_callbacks
def test_the_estimator_of_an_epoch_stays_as_it_was_then():
    listener = Listener()
    model = make_model().set_callbacks(listener).fit(X, Y)
    *epochs, last = listener.models
    assert len(epochs) == 3
    for n, then in enumerate(epochs, start=1):
        by_hand = make_model(max_epochs=n).fit(X, Y)
        assert_array_equal(then.predict_proba(X), by_hand.predict_proba(X))
        assert then.n_iter_ == n
    assert_array_equal(last.predict_proba(X), model.predict_proba(X))
    assert_array_equal(listener.started.predict_proba(X), epochs[1].predict_proba(X))


@needs_callbacks
def test_a_callback_may_stop_the_training():
    model = make_model(max_epochs=9).set_callbacks(Listener(last=1)).fit(X, Y)
    assert model.n_iter_ == 2
    by_hand = make_model(max_epochs=2).fit(X, Y)
    assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))


@needs_callbacks
def test_a_fit_that_goes_on_tells_of_the_epochs_that_are_left(tmp_path):
    path = tmp_path / "run.ckpt"
    with pytest.raises(RuntimeError, match="broken callback"):
        make_model().set_callbacks(Listener(broken=1)).fit(X, Y, checkpoint=path)
    listener = Listener()
    model = make_model().set_callbacks(listener).fit(X, Y, checkpoint=path)
    epochs = [one for one in listener.heard if one[:2] == ("end", "epoch")]
    assert len(epochs) == 2
    assert_array_equal(model.predict_proba(X), make_model().fit(X, Y).predict_proba(X))


@needs_callbacks
def test_listening_changes_nothing_and_leaves_nothing():
    quiet, heard = make_model(dropout=0.3).fit(X, Y), make_model(dropout=0.3)
    heard.set_callbacks(Listener()).fit(X, Y)
    assert_array_equal(quiet.predict_proba(X), heard.predict_proba(X))
    names = [name for name, _ in heard.net_.callbacks_]
    assert names == [name for name, _ in quiet.net_.callbacks_]
    heard.set_callbacks()
    assert len(pickle.dumps(heard)) < len(pickle.dumps(quiet)) + 500


@needs_callbacks
def test_an_epoch_after_which_early_stopping_ends_is_ended_too():
    listener = Listener()
    model = make_model(
        max_epochs=30,
        learning_rate=0.3,
        early_stopping=True,
        validation_fraction=0.3,
        n_epochs_no_change=1,
    )
    model.set_callbacks(listener).fit(X, Y)
    assert model.n_iter_ < 30
    begun = [what for what in listener.heard if what[:2] == ("begin", "epoch")]
    ended = [what for what in listener.heard if what[:2] == ("end", "epoch")]
    assert len(begun) == len(ended) == model.n_iter_
    assert_array_equal(listener.models[-1].predict_proba(X), model.predict_proba(X))


@needs_callbacks
def test_partial_fit_is_one_epoch():
    listener = Listener()
    model = make_model().set_callbacks(listener)
    model.partial_fit(X, Y).partial_fit(X, Y)
    assert listener.heard.count(("end", "epoch", 0)) == 2


@needs_callbacks
def test_a_broken_callback_is_torn_down_and_the_net_left_clean():
    listener = Listener(broken=1)
    model = make_model().set_callbacks(listener)
    with pytest.raises(RuntimeError, match="broken callback"):
        model.fit(X, Y)
    assert listener.heard[-1] == ("teardown", "fit", 3)
    assert not hasattr(model, "net_")
    listener.broken = None
    model.fit(X, Y)
    by_hand = make_model().fit(X, Y)
    assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))


@needs_callbacks
def test_a_score_is_monitored_after_each_epoch():
    monitor = callback.ScoringMonitor(scoring={"score": LOG_LOSS})
    make_model().set_callbacks(monitor).fit(X, Y)
    logged = pd.DataFrame(monitor.get_logs().data).query("task_name == 'epoch'")
    by_hand = [LOG_LOSS(make_model(max_epochs=n).fit(X, Y), X, Y) for n in (1, 2, 3)]
    assert_allclose(logged["score"], by_hand)


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_progress_is_shown_within_a_pipeline_in_a_search(n_jobs, capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), make_model())
    grid = {"dephnmultitaskclassifier__max_epochs": [1, 2]}
    search = GridSearchCV(pipeline, grid, scoring=LOG_LOSS, cv=KFold(2), n_jobs=n_jobs)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, Y)
    shown = capsys.readouterr().out
    assert shown.count("candidate-split-evaluation") == 4
    assert "DEPHN" in shown


WITHOUT_CALLBACKS = """
import sys
sys.path[:0] = {path!r}
import numpy as np
import sklearn.calibration, sklearn.compose, sklearn.model_selection
sys.modules["sklearn.callback"] = None  # as before scikit-learn 1.9
from dephn_sk import DEPHNMultiTaskClassifier
X, y = np.array([[0.0], [1.0], [2.0]]), [[0, 1], [1, 0], [1, 1]]
model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0).fit(X, y)
print(model.predict(X).shape, hasattr(model, "set_callbacks"))
"""


def test_without_them_as_before_scikit_learn_1_9_all_else_works():
    code = WITHOUT_CALLBACKS.format(path=sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3, 2) False"
