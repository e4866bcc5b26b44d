"""Files of every released format load for ever, and predict what they did."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dephn_sk
from dephn_sk.storage import _archive

pytest.importorskip("pandas")
FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = sorted(FIXTURES.glob("format_*/*.zip"))


@pytest.fixture(scope="module")
def script():
    place = importlib.util.spec_from_file_location(
        "fixtures", FIXTURES / "write_fixtures.py"
    )
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_every_format_has_files():
    formats = {int(path.parent.name.removeprefix("format_")) for path in FILES}
    assert formats == set(range(1, _archive.FORMAT + 1))
    assert sum(path.stat().st_size for path in FILES) < 10**6 * len(formats)


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_predicts_what_it_did(path, mmap, script):
    said = json.loads(path.with_suffix(".json").read_text())
    model = dephn_sk.load(path, mmap=mmap)
    found = np.array(script.outcome(model, script.rows_of(said["rows"])[:20]))
    # other versions and processors may add in another order
    assert_allclose(found, np.array(said["outcome"]), rtol=1e-4, atol=1e-6)


def test_training_goes_on_from_a_file_of_each_format(script):
    from _logs import make_log

    X, Y = make_log()
    for path in FILES:
        if path.stem == "training":
            model = dephn_sk.load(path)
            epochs = model.n_iter_
            assert model.partial_fit(X, Y).n_iter_ == epochs + 1
