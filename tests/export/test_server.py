"""The server of docs/serving is right under load, and names a column that is wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from _graphs import onnxruntime
from _kinds_of_columns import SMALL, X, Y, encoder

from dephn_sk.baselines import SharedBottomClassifier
from dephn_sk.export import feed, to_onnx

FOLDER = Path(__file__).parents[2] / "docs" / "serving"
if not FOLDER.is_dir():
    pytest.skip("not in a source tree", allow_module_level=True)


@pytest.fixture(scope="module")
def scripts():
    """The modules serve and load."""
    sys.path.insert(0, str(FOLDER))
    try:
        import load
        import serve
    finally:
        sys.path.remove(str(FOLDER))
    return serve, load


@pytest.fixture(scope="module")
def fitted():
    return SharedBottomClassifier(**SMALL, encoder=encoder()).fit(X, Y)


@pytest.fixture(scope="module")
def server(scripts, fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "model.onnx"
    to_onnx(fitted, path)
    serve, _ = scripts
    model = serve.Model(path, max_rows=50)
    running = serve.Server(model, max_bytes=20_000, max_connections=40, patience=2.0)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def ask(server, path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.server_port}{path}", data=body
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def as_json(rows):
    """Rows of the table as a client would send them."""
    moments = rows["when"].dt.tz_convert("UTC").dt.tz_localize(None).astype("M8[us]")
    columns = {
        "when": moments.astype("int64").tolist(),
        "lasts": (rows["lasts"] / np.timedelta64(1, "D")).tolist(),
        "seen": rows["seen"].tolist(),
    }
    columns |= {
        name: rows[name].tolist()
        for name in rows
        if name not in ("when", "lasts", "seen")
    }
    return columns


def predict(server, columns):
    return ask(server, "/predict", json.dumps({"columns": columns}).encode())


def test_answers_are_the_estimator_s_probabilities(server, fitted):
    status, body = predict(server, as_json(X[:20]))
    assert status == 200
    found = np.stack([body["tasks"][name] for name in ("click", "buy")], axis=1)
    np.testing.assert_allclose(
        found, fitted.predict_proba(X[:20]), rtol=1e-5, atol=1e-7
    )


def test_null_is_missing(server, fitted):
    columns = {name: [None] for name in as_json(X[:1])}
    nothing = X[:1].astype(object).mask(np.ones((1, X.shape[1]), bool))
    status, body = predict(server, columns)
    assert status == 200
    given = feed(fitted, nothing)
    graph = onnxruntime.InferenceSession(to_onnx(fitted).SerializeToString())
    wanted = graph.run(None, given)[0][0]
    found = [body["tasks"][name][0] for name in ("click", "buy")]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_health_says_what_is_served(server):
    status, body = ask(server, "/health")
    assert status == 200
    assert body["status"] == "ok" and body["tasks"] == ["click", "buy"]
    assert body["columns"]["city"] == "string" and "seen.length" not in body["columns"]


WRONG = {
    "text for a number": ("age", ["old"], 400),
    "a number for text": ("city", [5], 400),
    "a fraction for an integer": ("id", [1.5], 400),
    "an integer too large": ("id", [2**80], 400),
    "true for a number": ("age", [True], 400),
    "no list": ("city", "Oslo", 400),
    "nothing": ("city", [], 400),
    "no list in a row": ("seen", ["a"], 400),
    "another length": ("city", ["a", "b"], 400),
    "half of a pair": ("city", ["\ud800"], 400),
    "unknown": ("town", ["a"], 400),
    "too many rows": ("city", ["a"] * 51, 413),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_column(server, name):
    column, values, wanted = WRONG[name]
    columns = {**as_json(X[:1]), column: values}
    status, body = predict(server, columns)
    assert status == wanted
    assert "error" in body
    if name != "another length":  # which of them is wrong, nobody knows
        assert body["column"] == column


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/", None, 404),
        ("/elsewhere", b"{}", 404),
        ("/predict", b"{", 400),
        ("/predict", b"[" * 10_000, 400),
        ("/predict", b"[]", 400),
        ("/predict", b"\xff", 400),
        ("/predict", b" " * 20_001, 413),
    ],
)
def test_other_requests_are_errors_in_json(server, path, body, status):
    found, answer = ask(server, path, body)
    assert found == status
    assert answer["error"]


def test_a_body_without_a_length_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.server_port), 5) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 411")


def test_more_connections_than_there_is_room_for_are_turned_away(server):
    address = ("127.0.0.1", server.server_port)
    idle = [socket.create_connection(address, 5) for _ in range(40)]
    try:
        with socket.create_connection(address, 5) as client:
            assert b"503" in client.recv(200)
    finally:
        for one in idle:
            one.close()


def test_nothing_is_lost_under_load_beside_slow_and_broken_clients(server, scripts):
    _, load = scripts
    found = asyncio.run(load.load(server.server_port, server.model, 400, 20))
    assert (found["right"], found["wrong"], found["lost"]) == (400, 0, 0)
    assert found["broken"] > 0
    assert server.worker.n_batches < server.worker.n_answered  # some came together
