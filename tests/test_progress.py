"""How far training is, as people are told: in a terminal, a notebook, a file."""

import contextlib
import io
import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier, _progress
from dephn_sk._progress import EpochProgress, Progress
from dephn_sk.baselines import MMoEClassifier, PLEClassifier
from dephn_sk.logs import Log

RNG = np.random.default_rng(0)
X = pd.DataFrame({"color": RNG.choice(list("abc"), 300), "size": RNG.normal(size=300)})
Y = pd.DataFrame(
    {name: (RNG.random(300) < 0.4).astype(float) for name in ("click", "buy")}
)
SMALL = {"embedding_dim": 4, "early_stopping": False, "max_epochs": 3}
SMALL |= {"batch_size": 64, "random_state": 0, "verbose": 1}
WATCHED = {"early_stopping": True, "n_epochs_no_change": 1, "max_epochs": 30}


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


class Clock:
    """Each look at it takes a second."""

    now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    one = Clock()
    monkeypatch.setattr(_progress, "monotonic", one)
    return one


class Raises(Callback):
    """Raises in the middle of the second epoch."""

    def __init__(self, error):
        self.error = error

    def on_batch_end(self, net, training=False, **given):
        if training and len(net.history) == 2:
            raise self.error


class Wishes(Callback):
    def on_epoch_end(self, net, **given):
        raise KeyboardInterrupt


def model(**changes):
    return DEPHNMultiTaskClassifier(**{**SMALL, **changes})


def printed(call, out):
    with contextlib.redirect_stdout(out):
        call()
    return out.getvalue()


def fit(**changes):
    return lambda: model(**changes).fit(X, Y)


def last_line(text):
    assert text.endswith("\n")
    return text.split("\n")[-2].rsplit("\r", 1)[-1].rstrip()


def test_a_file_has_a_line_for_each_epoch_and_no_carriage_return():
    text = printed(fit(), io.StringIO())
    assert "\r" not in text
    decision, *epochs, end = text.splitlines()
    assert decision.endswith("; 3 epochs")
    assert [line.split("  ")[0] for line in epochs] == [
        f"epoch {i}/3" for i in (1, 2, 3)
    ]
    assert re.fullmatch(
        r"3 of 3 epochs in 0:\d\d, ended by the limit of epochs; train loss \d\.\d{4}",
        end,
    )


def test_a_terminal_has_one_line_that_is_written_over():
    text = printed(fit(), Screen())
    _, shown, rest = text.split("\n")
    assert rest == ""  # the cursor stands on a fresh line
    first, *lines = shown.split("\r")
    assert first == "" and len(lines) > 3
    assert all(line.startswith("epoch ") for line in lines[:-1])
    assert max(map(len, lines[:-1])) < 80
    assert lines[-1].startswith("3 of 3 epochs")


def test_a_line_that_is_shorter_leaves_nothing_of_the_one_before(capsys):
    screen = Screen()
    terminal = _progress.Terminal(screen)
    terminal.show("a long line")
    terminal.show("short")
    assert screen.getvalue() == "\ra long line\rshort      "


def test_a_terminal_is_written_a_few_times_a_second(monkeypatch):
    monkeypatch.setattr(_progress, "monotonic", lambda: 0.0)  # no time passes
    assert printed(fit(), Screen()).count("\r") == 1  # the end


@pytest.mark.parametrize("out", [io.StringIO, Screen])
@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"callbacks": [Wishes()]}, None, r"1 of 3 epochs in .*, ended by a callback"),
        (
            {"callbacks": [Raises(KeyboardInterrupt())]},
            KeyboardInterrupt,
            r"interrupted in epoch 2 of 3, after \d+:\d\d",
        ),
        (
            {"callbacks": [Raises(OSError("full"))]},
            OSError,
            r"ended by OSError in epoch 2 of 3, after \d+:\d\d",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:fit was interrupted")
def test_the_last_line_says_why_training_ended(out, changes, error, said):
    def call():
        with contextlib.nullcontext() if error is None else pytest.raises(error):
            fit(**changes)()

    assert re.match(said, last_line(printed(call, out())))


def test_early_stopping_says_which_epoch_is_kept():
    one = model(**WATCHED)
    text = printed(lambda: one.fit(X, Y), io.StringIO())
    best = one.net_.history[one.kept_epoch_ - 1]["valid_loss"]
    assert one.n_iter_ < 30
    assert last_line(text).endswith(
        f", ended by early stopping; epoch {one.kept_epoch_} is kept, "
        f"valid loss {best:.4f}"
    )
    assert "at most" in text  # fewer epochs may be enough


def test_the_score_of_a_task_is_named():
    text = printed(fit(**WATCHED, monitor=("score", "buy")), io.StringIO())
    assert "  valid score of 'buy' 0." in text


def test_one_epoch_is_no_epochs():
    decision, *_, end = printed(fit(max_epochs=1), io.StringIO()).splitlines()
    assert decision.endswith("; 1 epoch")
    assert end.startswith("1 of 1 epoch in")
    watched, *_ = printed(
        fit(**{**WATCHED, "max_epochs": 1}), io.StringIO()
    ).splitlines()
    assert "; 1 epoch at most, ended by" in watched
    assert watched.endswith("without improvement")


def test_what_was_decided_of_columns_comes_before_the_folds():
    rng = np.random.RandomState(0)
    ids = np.array([f"u{i}" for i in rng.randint(200, size=2_400)], dtype=object)
    changes = {"max_epochs": "auto", "early_stopping": "auto", "batch_size": 512}
    one, y = model(**changes, learning_rate=0.05), rng.randint(2, size=2_400)
    text = printed(lambda: one.fit(ids[:, None], y), io.StringIO())
    (decided,) = one.encoder_.report_.decisions
    assert text.startswith(f"{decided}\n5 folds: ")
    assert text.count(decided) == 1


def test_folds_are_one_line_and_networks_no_more_of_them():
    changes = {"max_epochs": "auto", "early_stopping": "auto", "learning_rate": 0.05}
    text = printed(fit(**changes), Screen())
    folds, decision, training, rest = text.split("\n")
    assert rest == ""
    assert folds.startswith("\r5 folds: epoch 1/60  20%  at most ")
    assert re.search(r"\r5 folds: \d+ epochs in .*; the mean loss is lowest in", folds)
    assert decision.endswith("the best of 5 folds; 5 networks")
    assert training.startswith("\repoch 1/")


def test_folds_that_are_interrupted_leave_a_fresh_line(monkeypatch):
    from dephn_sk.training import _cross_validation

    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(_cross_validation, "_counted", interrupted)

    def call():
        with pytest.raises(KeyboardInterrupt):
            fit(max_epochs="auto", early_stopping="auto")()

    text = printed(call, Screen())
    assert last_line(text).startswith("5 folds: interrupted in epoch 1 of 60, after")


def test_partial_fit_counts_epochs_on():
    one = model()
    printed(lambda: one.partial_fit(X, Y), io.StringIO())
    _, epoch, end = printed(lambda: one.partial_fit(X, Y), io.StringIO()).splitlines()
    assert epoch.startswith("epoch 2/2  train loss")
    assert end.startswith("2 of 2 epochs in")


@pytest.mark.parametrize("cls", [MMoEClassifier, PLEClassifier])
def test_baselines_say_the_same(cls):
    options = {k: v for k, v in SMALL.items() if k in cls().get_params()}
    text = printed(lambda: cls(**options).fit(X, Y), io.StringIO())
    assert text.count("epoch 3/3") == text.count("3 of 3 epochs") == 1


def test_a_view_that_is_fitted_says_the_same():
    one = model(verbose=0).fit(X, Y).set_params(verbose=1)
    view = clone(one.task("click"))
    text = printed(lambda: view.fit(X, Y["click"]), io.StringIO())
    assert text.count("3 of 3 epochs") == 1


def test_the_passes_over_a_log_and_its_epochs_are_lines_alike():
    table = pd.concat([X, Y], axis=1)
    log = Log(lambda: iter([table[:200], table[200:]]), ["color", "size"])
    text = printed(lambda: model().fit(log, ["click", "buy"]), Screen())
    *passes, _, training, rest = text.split("\n")
    assert rest == "" and training.startswith("\repoch 1/3")
    for line in passes:
        assert "300 rows in" in line.rsplit("\r", 1)[-1]


def test_a_pass_that_fails_leaves_a_fresh_line():
    def call():
        with pytest.raises(OSError), Progress("count", 100, True) as told:
            told.add(10)
            raise OSError

    assert printed(call, Screen()).endswith("left\n")


def test_the_time_left_is_that_of_the_rows_to_come():
    told = EpochProgress(4, 1000, False)
    told.begin(0)
    told.add(500)
    assert "0:35 left" in told.line(5.0)  # 3,500 rows, a hundred a second
    told.add(500)
    told.end_epoch(0.5)
    assert "0:30 left" in told.line(10.0)
    resumed = EpochProgress(4, 1000, False)
    resumed.begin(3, 500)  # rows of before took no time of ours
    resumed.add(250)
    assert resumed.line(5.0) == "epoch 4/4  75%  0:05 left"


def test_a_notebook_has_one_output_that_changes(monkeypatch):
    shown = []

    def display(data, raw, display_id):
        assert raw and display_id
        shown.append(data["text/plain"])
        return SimpleNamespace(
            update=lambda data, raw: shown.append(data["text/plain"])
        )

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    text = printed(fit(), stream())
    assert text.endswith("; 3 epochs\n") and "\r" not in text
    assert shown[0].startswith("epoch 1/3") and shown[-1].startswith("3 of 3 epochs")


def test_a_stream_that_knows_no_terminal_is_a_file():
    assert _progress.screen_of(None).stays
    assert _progress.screen_of(SimpleNamespace(write=print)).stays
