"""The script of the guide, started as it says; and what is a rank and what is not."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from processes._cells import child, model, rows
from processes._launch import HERE

import dephn_sk
from dephn_sk.datasets import make_behavior_log
from dephn_sk.training import Ranks, one_process
from dephn_sk.training._ranks import NONE, TIMEOUT_VARIABLE, VARIABLES

GUIDE = HERE.parents[1] / "docs" / "guide" / "several_processes.md"
TORCHRUN = "torch.distributed.run", "--standalone", "--nproc-per-node"


def started(folder, *command, **env):
    path = os.pathsep.join([str(HERE.parents[1]), *sys.path])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **env}
    return subprocess.run(
        [sys.executable, *command],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_of_the_guide_trains_under_torchrun(tmp_path):
    (script, *_) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
    script = script.replace('"model.zip"', "f\"{__import__('os').getpid()}.zip\"")
    # a second fit of the same processes
    script += "print(f'again {model.partial_fit(X[:200], y[:200]).n_iter_}')\n"
    (tmp_path / "train.py").write_text(script)
    done = started(tmp_path, "-m", *TORCHRUN, "2", "train.py")
    assert done.returncode == 0, done.stderr
    # of rank 0 alone
    assert len(re.findall("rows in batches of", done.stdout)) == 2
    assert done.stdout.count("again 3") == 2
    X, _ = make_behavior_log(3_000, return_X_y=True, random_state=0)
    saved = [dephn_sk.load(file) for file in tmp_path.glob("*.zip")]
    assert len(saved) == 2
    first, second = (np.asarray(one.predict_proba(X)) for one in saved)
    assert first.tobytes() == second.tobytes()


@pytest.fixture
def variables(monkeypatch):
    """Those of a rank whose others never come."""
    values = "1", "2", "127.0.0.1", "9"
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")


def test_who_is_alone_is_told_so(variables):
    with pytest.raises(dephn_sk.training.RankError, match="Not all ranks have come"):
        model().fit(*rows(60))
    with one_process():
        assert child() == (True, 1)


def test_a_process_of_joblib_is_no_rank(variables):
    (found,) = Parallel(n_jobs=2, timeout=300)([delayed(child)()])
    assert found == (True, 1)


@pytest.mark.parametrize("name", ["WORLD_SIZE", TIMEOUT_VARIABLE])
def test_variables_that_cannot_be_are_named(variables, monkeypatch, name):
    monkeypatch.setenv(name, "many")
    with pytest.raises(ValueError, match=f"{name}='many'"):
        model().fit(*rows(60))


def test_one_process_of_a_world_of_one_is_alone(variables, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Ranks.here() is NONE


CUDA = """
import numpy as np, os, torch
from processes._cells import model, rows
X, y = rows(bags=True)
one = model(device="cuda").fit(X, y)
np.save(f"{os.environ.get('RANK', 'alone')}.npy", one.predict_proba(X))
"""


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two devices")
def test_ranks_on_devices_of_their_own_do_what_one_does(tmp_path):
    Path(tmp_path, "train.py").write_text(CUDA)
    path = os.pathsep.join([str(HERE.parent), str(HERE.parents[1]), *sys.path])
    for command in (["train.py"], ["-m", *TORCHRUN, "2", "train.py"]):
        done = started(tmp_path, *command, PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
    alone, *ranks = (np.load(tmp_path / f"{name}.npy") for name in ("alone", 0, 1))
    for one in ranks:
        np.testing.assert_allclose(one, alone, rtol=0, atol=1e-9)
    assert ranks[0].tobytes() == ranks[1].tobytes()


def test_a_forked_process_does_not_take_its_parents_group_for_its_own(tmp_path):
    import torch.distributed as dist

    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(_inherits)
        assert not _inherits()
    finally:
        dist.destroy_process_group()


def _inherits():
    from dephn_sk.training import _ranks

    return _ranks._switch.inherited
