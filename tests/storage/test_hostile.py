"""No file can run code: each of these would write a file, if it could."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from _logs import SMALL, make_log
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.storage import ModelFileError, _archive, _objects

X, Y = make_log()


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (Path(self.path), "sang"))


@pytest.fixture(scope="module")
def fitted():
    return DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)


@pytest.fixture
def sang(tmp_path):
    """Where a canary writes; whether it did is checked at the end."""
    path = tmp_path / "sang"
    yield path
    assert not path.exists()


def test_the_canary_sings(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "sang")))
    assert (tmp_path / "sang").read_text() == "sang"


# ------------------------------------------------------------------- through load


def as_pickle(path, canary):
    path.write_bytes(pickle.dumps(canary))


def as_joblib(path, canary):
    joblib.dump(canary, path)


def as_torch(path, canary):
    torch.save({"model": canary}, path)


def as_object_array(path, canary):
    np.save(path.with_suffix(".npy"), np.array([canary]), allow_pickle=True)
    path.with_suffix(".npy").rename(path)


def as_npz(path, canary):
    with open(path, "wb") as file:
        np.savez(file, model=np.array([canary], dtype=object))


def as_member(path, canary):
    """A pickled array under the name of a part, in a zip of our form."""
    stream = io.BytesIO()
    np.save(stream, np.array([canary], dtype=object), allow_pickle=True)
    _archive.write(
        path, {"kind": "model", "model": {"$array": "x"}}, {"x": X_ARRAY}, {}
    )
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["arrays/x.npy"] = stream.getvalue()
    from fuzz import zipped

    manifest = json.loads(members["manifest.json"])
    manifest["parts"]["x"] = {
        "dtype": "|O",
        "shape": [1],
        "sha256": _archive._sums([members["arrays/x.npy"]])[0],
    }
    members["manifest.json"] = _archive._json(manifest).encode()
    path.write_bytes(zipped(members))


X_ARRAY = np.ones(3)
ROADS = [as_pickle, as_joblib, as_torch, as_object_array, as_npz, as_member]


@pytest.mark.parametrize("how", ROADS)
def test_pickles_in_the_place_of_a_file(how, tmp_path, sang, monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    how(tmp_path / "model.zip", Canary(sang))
    with pytest.raises(ModelFileError):
        dephn_sk.load(tmp_path / "model.zip")


def written(path, tree, arrays=None):
    _archive.write(path, {"kind": "model", "model": tree}, arrays or {}, {})
    return path


def estimator(**params):
    state = {"params": params, "attributes": {}}
    return {"$object": ["dephn_sk.DEPHNMultiTaskClassifier", state]}


def trees(sang):
    """What a manifest might say to have code run."""
    shell = f"touch {sang}"
    for name in (
        *("os.system", "builtins.eval", "builtins.exec", "subprocess.Popen", "eval"),
        *("dephn_sk.MultiTaskClassifier", "dephn_sk._compat.partial", "posix.system"),
        *("skorch.Checkpoint", "skorch.LoadInitState", "sklearn.FunctionTransformer"),
    ):
        yield {"$object": [name, shell]}
        yield {"$object": [name, {"params": {"func": shell}, "attributes": {}}]}
    for known in (
        "metric os.system",
        "schedule LambdaLR.__init__",
        "callback Checkpoint",
    ):
        yield {"$object": ["known", known]}
    yield {"$object": ["scipy.stats", ["os", {"$tuple": [shell]}, {}]]}
    yield {"$object": ["scipy.stats", ["rv_continuous", {"$tuple": []}, {}]]}
    for policy in ("os", "np", "torch", "sys", "accepts_kwargs", "__loader__"):
        given = {"policy": policy, "path": shell}
        callback = {"$object": ["skorch.LRScheduler", given]}
        yield estimator(callbacks=[callback])
    yield estimator(mappings=["raw", {"$object": ["known", "metric os.system"]}])
    yield {"$zone": f"../../../{sang}"}
    yield {"$array": str(sang)}
    yield {"__class__": "os.system", "__reduce__": [shell]}


def test_names_in_a_manifest_are_looked_up_and_never_imported(tmp_path, sang):
    for tree in trees(sang):
        with pytest.raises(ModelFileError):
            dephn_sk.load(written(tmp_path / "model.zip", tree))


def test_loading_imports_nothing_that_a_file_names(tmp_path, fitted, monkeypatch):
    fitted.save(tmp_path / "model.zip")
    dephn_sk.load(tmp_path / "model.zip")

    def no_import(name, *args, **kwargs):
        if args and args[0] and args[0].get("__name__", "").startswith("dephn_sk"):
            assert name.split(".")[0] in ("pandas", "", "storage", "inspection"), name
        return real(name, *args, **kwargs)

    import builtins
    import importlib

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_import)
    monkeypatch.setattr(importlib, "import_module", None)
    dephn_sk.load(tmp_path / "model.zip")


# ------------------------------------------------------------------- through skops

skops_io = pytest.importorskip("skops.io")


def hostile_states(canary):
    """What a state within a file of skops might hold for one of our classes."""
    tree = '{"params": {}, "attributes": {}}'
    yield {"_fitted": FunctionTransformer(np.exp)}
    yield {"callbacks": [np.exp], "mappings": (np.exp,), "_fitted": StandardScaler()}
    yield {"tree": tree, "arrays": {}, "_fitted": StandardScaler()}
    yield {"tree": '{"$object": ["os.system", "true"]}', "arrays": {}}
    yield {"tree": "{", "arrays": {}}
    yield {"tree": "[" * 10**5, "arrays": {}}
    yield {"tree": 3, "arrays": {}}
    yield {"tree": tree, "arrays": {"x": np.array([1, "a"], dtype=object)}}
    yield {"tree": tree, "arrays": {"x": StandardScaler()}}
    yield {"tree": tree, "arrays": {"x": np.ones(1)}}
    yield {"tree": '{"params": {"os": 1}, "attributes": {}}', "arrays": {}}
    yield {"tree": '{"params": {}, "attributes": {"_fitted": 1}}', "arrays": {}}
    yield {"tree": '{"params": {}, "attributes": {"predict": 1}}', "arrays": {}}
    yield {}
    yield {"tree": tree}


@pytest.mark.parametrize("cls", [DEPHNMultiTaskClassifier, FieldEncoder])
def test_our_classes_take_nothing_but_json_and_arrays_from_skops(
    cls, monkeypatch, sang
):
    for state in hostile_states(Canary(sang)):
        monkeypatch.setattr(cls, "__getstate__", lambda self, state=state: dict(state))
        content = skops_io.dumps(cls())
        monkeypatch.undo()
        with (
            pytest.raises(ModelFileError),
            pytest.warns(UserWarning, match="pickled by"),
        ):
            skops_io.loads(content, trusted=dephn_sk.TRUSTED_TYPES)


def untrusted(canary, model):
    """Objects that run code when skops makes them, if their types are trusted."""
    yield FunctionTransformer(os.system)
    yield FunctionTransformer(canary.path.write_text)
    yield make_pipeline(FunctionTransformer(eval))
    yield model.net_  # whose own state, as skorch writes it, is pickled bytes
    yield model.network_
    yield FrozenEstimator(model.net_)
    yield canary
    yield {"a": print}


def test_skops_with_our_types_takes_no_strangers(fitted, sang, tmp_path):
    for one in untrusted(Canary(sang), fitted):
        try:
            content = skops_io.dumps(one)
        except Exception:  # which skops does not write
            continue
        with pytest.raises(Exception, match="Untrusted types found"):
            skops_io.loads(content, trusted=dephn_sk.TRUSTED_TYPES)
        # and the same within a file of ours, in the place of a step
        inner = np.frombuffer(content, dtype=np.uint8)
        tree = {"$object": ["skops", {"$array": "x"}]}
        with pytest.raises(ModelFileError):
            dephn_sk.load(written(tmp_path / "model.zip", tree, {"x": inner}))


def test_a_skorch_net_with_pickled_bytes_is_not_trusted(fitted, sang, monkeypatch):
    """The road by which files of honest types ran code before."""
    from skorch import NeuralNet

    state = {"__cuda_dependent_attributes__": pickle.dumps(Canary(sang))}
    monkeypatch.setattr(NeuralNet, "__getstate__", lambda self: dict(state))
    net = NeuralNet(torch.nn.Linear, criterion=torch.nn.MSELoss)
    content = skops_io.dumps(net)
    with pytest.raises(Exception, match=r"Untrusted types found.*skorch"):
        skops_io.loads(content, trusted=dephn_sk.TRUSTED_TYPES)


@pytest.mark.parametrize("bomb", ["compressed", "shape"])
def test_a_bomb_within_a_file_of_skops_is_not_unpacked(bomb, tmp_path):
    step = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    content = skops_io.dumps(step, compression=zipfile.ZIP_DEFLATED)
    if bomb == "shape":
        with zipfile.ZipFile(io.BytesIO(skops_io.dumps(step))) as file:
            members = {name: file.read(name) for name in file.namelist()}
        name = next(one for one in members if one.endswith(".npy"))
        members[name] = members[name].replace(b"'shape': (", b"'shape': (2**40, ")
        members[name] = _archive._array_header("<f8", (2**40,)) + bytes(8)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            for one, data in members.items():
                file.writestr(one, data)
        content = stream.getvalue()
    inner = np.frombuffer(content, dtype=np.uint8)
    tree = {"$object": ["skops", {"$array": "x"}]}
    with pytest.raises(ModelFileError, match=r"larger|holds no float64"):
        dephn_sk.load(written(tmp_path / "model.zip", tree, {"x": inner}))


def test_trusted_types_are_our_estimators_alone():
    for name in dephn_sk.TRUSTED_TYPES:
        assert name.startswith("dephn_sk.")
        assert any(name.endswith(f".{one.__name__}") for one in _objects.CLASSES)


def test_a_state_holds_no_pickled_bytes(fitted):
    state = fitted.__getstate__()
    assert state.keys() == {"tree", "arrays", "_dephn_sk_version"}
    json.loads(state["tree"])
    for array in state["arrays"].values():
        assert array.dtype.kind != "O"
        assert b"\x80\x04\x95" not in array.tobytes()  # how a pickle begins


def test_weights_that_are_no_numbers_are_refused(fitted, tmp_path):
    model = copy.deepcopy(fitted)
    with torch.no_grad():
        model.network_.gating.values[0, 0] = np.nan
    model.save(tmp_path / "model.zip")
    with pytest.raises(ModelFileError, match=r"weights 'gating.values' hold NaN"):
        dephn_sk.load(tmp_path / "model.zip")
