"""Start ranks, as an engine does: each with a process group that it has initialized.

``python _launch.py FOLDER`` runs the jobs in that folder, one after another, each in so
many processes. They are forked off one that has imported everything, since imports take
longer than the fits.
"""

from __future__ import annotations

import contextlib
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
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

HERE = Path(__file__).parent


class Job(NamedTuple):
    """A function of rank and size, and more arguments, for so many processes.

    Without `waits`, other ranks than the first are killed once that has ended.
    """

    function: str
    size: int
    arguments: tuple[Any, ...] = ()
    timeout: float = 60
    waits: bool = True


def launched(module, jobs):
    """What each job gives on each rank (None of one that was killed), and prints."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "jobs").write_bytes(pickle.dumps((module, list(jobs.values()))))
        path = os.pathsep.join([str(HERE.parent), *sys.path])
        done = subprocess.run(
            [sys.executable, str(HERE / "_launch.py"), folder],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return {
            name: ([_read(Path(folder, f"{i}.{r}")) for r in range(job.size)])
            for i, (name, job) in enumerate(jobs.items())
        }


def _read(file):
    return pickle.loads(file.read_bytes()) if file.exists() else None


def printed(results):
    """What all ranks of a job have printed."""
    return "".join(text for _, text in results)


def _rank(rank, size, folder, number, call, job):
    torch.set_num_threads(1)
    os.environ["DEPHN_SK_TIMEOUT"] = str(job.timeout)
    if size > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/{number}.store",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=120),
        )
    said = folder / f"{number}.{rank}.said"
    try:
        with (
            said.open("w") as file,
            contextlib.redirect_stdout(file),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            result = call(rank, size, *job.arguments)
    except BaseException as error:
        traceback.print_exc()
        result = repr(error)
    new = folder / f"{number}.{rank}.new"
    new.write_bytes(pickle.dumps((result, said.read_text())))
    os.replace(new, folder / f"{number}.{rank}")
    # workers would live on for minutes, and hold the pipes that the test reads
    if "joblib.externals.loky" in sys.modules:
        from joblib.externals.loky import reusable_executor

        if reusable_executor._executor is not None:
            reusable_executor._executor.shutdown(kill_workers=True)
    os._exit(0)  # without waiting for ranks that are gone


def main(folder):
    module, jobs = pickle.loads(Path(folder, "jobs").read_bytes())
    functions = importlib.import_module(module)
    torch.set_num_threads(1)
    functions.model(max_epochs=1).fit(*functions.rows(60))  # what a fit imports late
    fork = multiprocessing.get_context("fork")
    for number, job in enumerate(jobs):
        given = Path(folder), number, getattr(functions, job.function), job
        ranks = [
            fork.Process(target=_rank, args=(rank, job.size, *given))
            for rank in range(job.size)
        ]
        for one in ranks:
            one.start()
        ranks[0].join()
        for one in ranks[1:]:
            if not job.waits:
                one.kill()
            one.join()


if __name__ == "__main__":
    # as the module by which what it is given was pickled
    from processes import _launch

    _launch.main(sys.argv[1])
