"""Start ranks, as an engine does: each with a process group that it has initialized.

``python _launch.py MODULE FUNCTION FOLDER SIZE...`` calls the function in as many
processes as each SIZE says. They are forked off one that has imported everything, since
imports take longer than the fits.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

HERE = Path(__file__).parent


def launched(module, function, *sizes, arguments=(), timeout="20", waits=True):
    """What a function gives on each rank, or what it raises, for each size.

    Without `waits`, other ranks than the first are killed once that has ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "arguments").write_bytes(pickle.dumps(arguments))
        command = [sys.executable, str(HERE / "_launch.py"), module, function, folder]
        path = os.pathsep.join([str(HERE.parent), *sys.path])
        env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, *map(str, sizes)],
            env={**env, "DEPHN_SK_TIMEOUT": timeout, "WAITS": "1" * waits},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return {size: _results(Path(folder), size) for size in sizes}, done.stdout


def _results(folder, size):
    """Of each rank; None of one that was killed."""
    files = [folder / f"{size}.{rank}" for rank in range(size)]
    return [pickle.loads(f.read_bytes()) if f.exists() else None for f in files]


def _rank(rank, size, folder, call):
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/{size}.store",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=120),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call(rank, size, *pickle.loads((folder / "arguments").read_bytes()))
    except BaseException as error:
        result = error if type(error).__module__ == "builtins" else repr(error)
        if not isinstance(error, (RuntimeError, ValueError, KeyboardInterrupt)):
            traceback.print_exc()
    (folder / f"{size}.{rank}.new").write_bytes(pickle.dumps(result))
    os.replace(folder / f"{size}.{rank}.new", folder / f"{size}.{rank}")
    sys.stdout.flush()
    os._exit(0)  # without waiting for ranks that are gone


def main(module, function, folder, *sizes):
    call = getattr(importlib.import_module(module), function)
    fork = multiprocessing.get_context("fork")
    for size in map(int, sizes):
        ranks = [
            fork.Process(target=_rank, args=(rank, size, Path(folder), call))
            for rank in range(size)
        ]
        for one in ranks:
            one.start()
        ranks[0].join()
        for one in ranks[1:]:
            if not os.environ["WAITS"]:
                one.kill()
            one.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
