"""
Train here, serve anywhere
==========================

One file holds all from raw columns to calibrated probabilities, and runs wherever
onnxruntime does. Train, export, load, compare, serve.
"""

# %%
# Train
# -----
# A log of impressions, one network for three behaviors, and a calibrator around it.

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.datasets import make_behavior_log

log = make_behavior_log(20_000, random_state=0)
model = DEPHNMultiTaskClassifier(random_state=0)
model.fit(log.data[:15_000], log.target[:15_000])
calibrated = TaskCalibrator(model).fit(
    log.data[15_000:18_000], log.target[15_000:18_000]
)

# %%
# Export
# ------
# The graph has an input for each column, and says in its metadata what a server must
# know. What it could not say would be an error here, by the column's name.

import json
import tempfile
from pathlib import Path

import pandas as pd

from dephn_sk.export import feed, to_onnx

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "model.onnx"
graph = to_onnx(calibrated, path)
about = json.loads(graph.metadata_props[0].value)
pd.DataFrame(about["columns"])[["name", "type", "missing", "mask"]]

# %%
# Load and compare
# ----------------
# :func:`~dephn_sk.export.feed` gives a frame as the graph's inputs. What comes out is
# what ``predict_proba`` gives, but for what float32 rounds.

import onnxruntime

X_test = log.data[18_000:]
session = onnxruntime.InferenceSession(path)
(probabilities,) = session.run(None, feed(calibrated, X_test))
wanted = calibrated.predict_proba(X_test)
float(abs(probabilities - wanted).max())

# %%

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, name, found, own in zip(
    axes, calibrated.task_names_, probabilities.T, wanted.T, strict=True
):
    ax.plot(own, found, ".", markersize=2)
    ax.set(
        title=name, xlabel="predict_proba", ylabel="graph", xscale="log", yscale="log"
    )
plt.show()

# %%
# Serve
# -----
# ``docs/serving/serve.py`` serves a graph with Python's own ``http.server``; the same
# file in a Java server or in a browser needs no Python at all. Here it runs in a
# thread.

import sys
import threading
import urllib.request


def docs_folder() -> Path:
    """Where serve.py is, from wherever this example runs."""
    here = Path.cwd()
    inside = (parent / "docs" for parent in (here, *here.parents))
    return next(one for one in inside if (one / "serving").is_dir())


sys.path.append(str(docs_folder() / "serving"))
import serve

server = serve.Server(serve.Model(path, max_rows=1000))
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(columns: dict) -> dict:
    """What the server answers."""
    body = json.dumps({"columns": columns}).encode()
    url = f"http://127.0.0.1:{server.server_port}/predict"
    with urllib.request.urlopen(url, body) as answer:
        return json.load(answer)


rows = X_test[:3].astype(object).where(X_test[:3].notna(), None)
ask(rows.to_dict("list"))

# %%

server.shutdown()
server.server_close()
folder.cleanup()
