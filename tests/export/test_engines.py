"""The graph without Python: in WebAssembly, as browsers run it, here under Node.

``make test-engines`` installs what it needs; without that, it skips.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from _kinds_of_columns import ROWS, SMALL, X, Y, encoder

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.export import feed, to_onnx

PACKAGES = Path(__file__).parents[2] / ".venv-node"
pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (PACKAGES / "node_modules").is_dir(),
    reason="of `make test-engines`",
)


def as_json(given):
    """Inputs as the script reads them."""
    named = {}
    for name, values in given.items():
        flat, type = values.ravel().tolist(), str(values.dtype)
        if type == "object":
            type = "string"
        elif type in ("int64", "uint64"):
            flat = list(map(str, flat))
        elif type.startswith("float"):
            flat = [None if one != one else one for one in flat]
        named[name] = {"type": type, "dims": values.shape, "data": flat}
    return json.dumps(named)


def run_in_node(model, given, folder):
    paths = [folder / name for name in ("model.onnx", "in.json", "out.json")]
    paths[0].write_bytes(model.SerializeToString())
    paths[1].write_text(as_json(given))
    script = Path(__file__).with_name("run_graph.mjs")
    command = ["node", *map(str, (script, PACKAGES, *paths))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(paths[2].read_text())
    return {
        name: np.array(one["data"]).reshape(one["dims"]) for name, one in found.items()
    }


def test_node_gives_what_predict_proba_gives(tmp_path):
    model = DEPHNMultiTaskClassifier(**SMALL, encoder=encoder()).fit(X, Y)
    calibrator = TaskCalibrator(model).fit(X, Y)
    graph, given = to_onnx(calibrator, labels=True), feed(calibrator, ROWS)
    found = run_in_node(graph, given, tmp_path)
    wanted = calibrator.predict_proba(ROWS)
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=1e-5, atol=1e-7)
    clicks = calibrator.predict(ROWS)[:, 0]
    assert found["labels.click"].tolist() == list(map(str, clicks))
    one = {name: values[:1] for name, values in given.items()}
    (tmp_path / "one").mkdir()
    found = run_in_node(graph, one, tmp_path / "one")
    np.testing.assert_allclose(found["probabilities"], wanted[:1], rtol=1e-5, atol=1e-7)
