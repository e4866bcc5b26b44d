"""Graphs of encoders alone, rows that are hard to encode, and runs of a graph."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
pd = pytest.importorskip("pandas")

N_ROWS = 1000
# older releases give a sum over no rows another shape
RELEASE = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
NO_ROWS = (0,) if RELEASE >= (1, 32) else ()


def session_of(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def run(model, given):
    """The outputs of a graph, by name, after the checks that ONNX has for it."""
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(
        model, check_type=True, strict_mode=True, data_prop=True
    )
    session = session_of(model)
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, given), strict=True))


def encoded_by_graph(encoder, X, opset=20):
    """Codes, numbers, bags and refused rows as the encoder's graph gives them."""
    from dephn_sk.export._encoder import EncoderGraph
    from dephn_sk.export._fields import any_of
    from dephn_sk.export._graph import Graph
    from dephn_sk.export._inputs import add_inputs, feed_raw, groups_of, raw_fields

    graph, columns = Graph(opset), EncoderGraph.of(encoder)
    groups = groups_of(columns, (), "raw")
    add_inputs(graph, groups[0])
    fields = raw_fields(graph, [columns], groups[0])
    codes, numbers = fields.code_matrix(graph), fields.number_matrix(graph)
    if codes is not None:
        graph.output("out.codes", codes, "int64", ["n", len(fields.codes)])
    if numbers is not None:
        graph.output(
            "out.numbers", numbers, "double", ["n", len(fields.number_names())]
        )
    for bag in fields.bags:
        graph.output(f"out.{bag.name}", bag.codes, "int64", ["n", "most"])
        if bag.weights is not None:
            graph.output(f"out.{bag.name}.w", bag.weights, "double", ["n", "most"])
    if fields.refused:
        refused = graph.columns(fields.refused)
        graph.output("out.refused", any_of(graph, refused), "bool", ["n"])
    given = feed_raw(columns, groups, X)
    found = run(graph.model(), given)
    names = fields.code_names(), fields.number_names()
    return {name.removeprefix("out."): one for name, one in found.items()}, names


def assert_encodes_alike(encoder, X):
    """The graph gives the codes, the numbers and the bags that the encoder gives."""
    found, (codes, numbers) = encoded_by_graph(encoder, X)
    fields = encoder.encode(X, dtype=np.float64)
    assert codes == list(encoder.categorical_names_)
    assert numbers == list(encoder.numeric_names_)
    if codes:
        np.testing.assert_array_equal(found["codes"], fields.codes)
    if numbers:
        np.testing.assert_allclose(
            found["numbers"], fields.numbers, rtol=1e-14, atol=1e-14
        )
    for name, bag in zip(encoder.bag_names_, fields.bags, strict=True):
        rows = [row[row >= 0].tolist() for row in found[name]]
        assert rows == [
            part.tolist() for part in np.split(bag.members, bag.offsets[1:-1])
        ]
        if bag.weights is not None:
            given = found[f"{name}.w"][found[name] >= 0]
            np.testing.assert_array_equal(given, bag.weights)
    assert not found.get("refused", np.zeros(1, bool)).any()


def hard_text(rng, known):
    """Known texts, and texts that are easily taken for others."""
    others = [
        "",
        " ",
        "a",
        "A",
        "é",
        "e\u0301",
        "😀",
        "\U0001d518",
        "\U0010ffff",
        "\uffff",
        "nan",
    ]
    others += [
        "None",
        "1",
        "1.0",
        "True",
        "2024-01-01",
        "a\nb",
        "a|b",
        "x" * 300,
        "\x7f",
    ]
    return rng.choice(np.array([*known, *others], dtype=object), N_ROWS)


def hard_integers(rng, known, dtype=np.int64):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    ends = [low, low + 1, 0, 1, 2**53 - 1, 2**53, 2**53 + 1, high - 1, high]
    return rng.choice(np.array([*known, *ends], dtype=dtype), N_ROWS)


def hard_numbers(rng, known):
    tiny = np.finfo(np.float64).tiny
    others = [0.0, -0.0, tiny, -tiny, 5e-324, 1e-310, 1.7e308, -1.7e308, np.nan]
    others += [2.0**53, 1e30, -1e30, 3.4e38, 1e-45, np.pi]
    values = np.array([*known, *others, *(known + 1e-9), *(known * (1 + 1e-15))])
    return rng.choice(values, N_ROWS)
