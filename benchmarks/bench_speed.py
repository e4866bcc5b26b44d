"""How fast is each network, beside plain torch, the peers and the processor itself?

    python benchmarks/bench_speed.py --data FOLDER
    python benchmarks/bench_speed.py --data FOLDER --peers SCRIPTS \
        --python deepctr=PATH --python rechub=PATH
    python benchmarks/bench_speed.py --rows 4096 --rounds 2 --batch 256
    python benchmarks/bench_speed.py --data FOLDER --before CHECKOUT --threads 1
    python benchmarks/bench_speed.py --data FOLDER --compare-threads --batch 1024 4096

FOLDER holds census/; without it, rows of the same shape are drawn. All entries take
turns, an epoch over the same rows at a time, in one run; what is reported are medians
over the rounds, of seconds of processor and of clock, and medians of the rounds' ratios
to bare torch. SCRIPTS is a folder of scripts ``bench_NAME.py`` that train one public
package each, and NAME=PATH the Python in which it is installed; those run in processes
of their own, and need the data of FOLDER. CHECKOUT is another commit (``git worktree
add CHECKOUT COMMIT``), whose networks take their turns, too, in a process of its own.

The ceiling of an entry is the time of its counted operations at the rate of a float32
product of two 2048 x 2048 matrices, measured in the same rounds.

With ``--compare-threads``, one thread and two take turns at the entries of this
library, and what is printed are medians of the rounds' ratios.

Last, what experts of other kinds cost in fitting three tasks: DNN, cross and field
against three DNN experts, and private cross and field experts against none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import _fit
import numpy as np
import pandas as pd
import torch
from _bare import BareDEPHN, BareLoop, BareMMoE
from _fit import EXPERTS, with_third_task
from _peer import peak_memory
from _report import RESULTS, Results, commit_of, environment
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier, PLEClassifier
from dephn_sk.datasets import load_census_income
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training import ArraySource, FitPlan, Trainer, predict_logits

# categories of the 32 categorical columns of Census, then 7 numeric columns
CARDINALITIES = [
    *(9, 52, 47, 17, 3, 24, 15, 5, 10, 2, 3, 6, 8, 6, 6, 51),
    *(38, 8, 10, 9, 10, 3, 4, 5, 43, 43, 43, 5, 3, 3, 3, 2),
]
N_NUMERIC = 7
SIZES = {
    "embedding_dim": 16,
    "numeric_embedding": "scalar",
    "expert_hidden": (64, 32),
    "tower_hidden": (32,),
    "embedding_dropout": 0.0,
    "unseen_rate": 0.0,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "weight_averaging": 0.0,
}
OURS: dict[str, Callable] = {
    "MMoE": lambda: MMoEClassifier(**SIZES),
    "PLE": lambda: PLEClassifier(**SIZES),
    "DEPHN": DEPHNMultiTaskClassifier,
    "DEPHN, paper": DEPHNMultiTaskClassifier.paper_configuration,
}
# what an entry's ratio refers to
REFERENCE = {
    "MMoE": "bare MMoE",
    "DEPHN": "bare DEPHN",
    "DEPHN, paper": "bare DEPHN, paper",
}
# what experts of other kinds are compared with
OTHER_EXPERTS = {
    "DNN, cross, field": "three DNN experts",
    "private cross, field": "DNN, cross, field",
}
SLOW = ("DEPHN, paper", "bare DEPHN, paper")  # on an eighth of the rows
PEERS = ("mmoe", "ple")
N_GEMM = 2048


def load(data: str | None, n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of Census, or drawn ones of its shape, with every category declared."""
    rng = np.random.default_rng(0)
    if data is not None:
        X, y = load_census_income(data, subset="train", return_X_y=True)
        rows = rng.permutation(len(X))[:n_rows]
        return FieldEncoder().fit_transform(X).iloc[rows], np.asarray(y)[rows]
    columns = {}
    for j, k in enumerate(CARDINALITIES):
        codes = (k * rng.random(n_rows) ** 2).astype(int)
        columns[f"c{j}"] = pd.Categorical.from_codes(codes, range(k))
    for j in range(N_NUMERIC):
        columns[f"x{j}"] = rng.normal(size=n_rows).astype(np.float32)
    return pd.DataFrame(columns), rng.integers(0, 2, (n_rows, 2))


class Ours:
    """One of this library's estimators, planned on a few rows, then trained on all."""

    def __init__(self, name, X, y, batch_size):
        make = OURS.get(name) or partial(DEPHNMultiTaskClassifier, **EXPERTS[name])
        estimator = make().set_params(
            batch_size=batch_size, max_epochs=1, early_stopping=False, random_state=0
        )
        plan = FitPlan.of(estimator, X[:256], y[:256], epochs=1)
        self.fields = plan.learned.encoder.encode(X)
        labels = y.astype(plan.learned.tasks.label_dtype("float32"))
        self.plan = replace(plan, train=ArraySource(self.fields, labels))
        self.state = plan.begin()
        self.network = self.state.network

    def fit_epoch(self):
        plan = replace(self.plan, epochs=self.state.epoch + 1)
        for _ in Trainer(self.state, plan).run():
            pass

    def predict(self):
        network = self.state.best().eval()
        predict_logits(
            network, ArraySource(self.fields), self.plan.learned.template.precision
        )

    def tensors(self, y):
        """Rows of the table, numbers and labels, as a bare loop reads them."""
        rows = torch.from_numpy(self.fields.codes).long()
        embedding = self.network.embedding
        rows = rows + embedding.offsets[: embedding.n_categorical]
        numbers = torch.from_numpy(self.fields.numbers)
        return rows, numbers, torch.from_numpy(y).float()


class Peer:
    """A public package in a process of its own, see ``_peer.py``."""

    def __init__(self, command, environment, stderr=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment,
        )
        self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        raise RuntimeError(f"{self.process.args} ended without an answer.")

    def ask(self, action):
        self.process.stdin.write(action + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


BEFORE = ", before"


class Before:
    """One network of another checkout, whose process it shares with the others."""

    def __init__(self, process, name):
        self.process, self.name = process, name

    def ask(self, action):
        return self.process.ask(f"{action}: {self.name}")

    def close(self):
        pass


def start_before(options, batch_size, threads) -> Peer | None:
    """A process that times the networks of another checkout."""
    if not options.before:
        return None
    command = [sys.executable, _fit.__file__, options.before, str(options.rows)]
    command += [
        str(batch_size),
        str(threads),
        *([options.data] if options.data else []),
    ]
    return Peer(command, os.environ, stderr=None)


def bare(name, ours, y, batch_size):
    """The bare loop on the same network and rows as one of ours."""
    rows, numbers, labels = ours.tensors(y)
    if name == "bare MMoE":
        # unlike ours it has no value for missing numbers
        table = ours.network.embedding.table
        network = BareMMoE(len(table), rows.shape[1], numbers.shape[1], 2)
    else:
        network = BareDEPHN(ours.network)
        check_equal(network, ours.network, rows[:64], numbers[:64])
    similarity = name != "bare MMoE"
    return BareLoop(network, rows, numbers, labels, batch_size, similarity)


@torch.inference_mode()
def check_equal(network, original, rows, numbers) -> None:
    """The bare network is the same function."""
    embedding = original.embedding
    codes = rows - embedding.offsets[: embedding.n_categorical]
    expected = original.eval()(codes, numbers)
    torch.testing.assert_close(
        network.eval()(rows, numbers), expected, rtol=1e-4, atol=1e-4
    )


def flops(network, rows, numbers, labels) -> int:
    """Counted operations of one training step."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(rows, numbers).sum().backward()
    return counter.get_total_flops()


def timed(action) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return time.process_time() - processor, time.perf_counter() - clock


def race(X, y, batch_size, rounds, peers) -> list[dict]:
    """Rows of results of one batch size."""
    n_rows = {name: len(X) for name in (*OURS, *REFERENCE.values())}
    for name in SLOW:
        n_rows[name] = max(batch_size, len(X) // 8)
    entries: dict = {
        name: Ours(name, X[: n_rows[name]], y[: n_rows[name]], batch_size)
        for name in OURS
    }
    counted = {}
    for name, reference in REFERENCE.items():
        entries[reference] = bare(
            reference, entries[name], y[: n_rows[name]], batch_size
        )
        some = [tensor[:batch_size] for tensor in entries[reference].tensors]
        counted[name] = counted[reference] = flops(
            entries[reference].network, *some
        ) / len(some[0])
    matrices = torch.randn(2, N_GEMM, N_GEMM)
    seconds: dict = {}
    grown: dict = {}  # resident memory of the peers, which tell it themselves

    def note(name, action, cpu, wall, rows):
        seconds.setdefault((name, action), []).append((cpu / rows, wall / rows))

    for turn in range(rounds + 1):  # the first one warms up
        if turn == 1:
            seconds.clear()
        note("product", "fit", *timed(lambda: matrices[0] @ matrices[1]), 1)
        for action in ("fit", "predict"):
            for name, entry in entries.items():
                run = entry.fit_epoch if action == "fit" else entry.predict
                note(name, action, *timed(run), n_rows[name])
            for name, peer in peers.items():
                told = peer.ask(action)
                note(name, action, told["cpu"], told["wall"], told["rows"])
                if "rss_mb" in told:
                    grown[name, action] = told["rss_mb"]
        note("product", "fit", *timed(lambda: matrices[0] @ matrices[1]), 1)
    products = seconds.pop(("product", "fit"))
    rate = 2 * N_GEMM**3 / np.median([cpu for cpu, _ in products])
    results = []
    for (name, action), values in seconds.items():
        cpu, wall = np.median(values, axis=0)
        row = {
            "entry": name,
            "action": action,
            "rows_per_cpu_s": 1 / cpu,
            "rows_per_s": 1 / wall,
        }
        if (name, action) in grown:
            row["rss_mb"] = grown[name, action]
        if action == "fit" and name in counted:
            row["share_of_ceiling"] = counted[name] / rate / cpu
        if name in REFERENCE:
            pairs = zip(seconds[REFERENCE[name], action], values, strict=True)
            row["of_bare"] = float(np.median([b[0] / a[0] for b, a in pairs]))
        if name + BEFORE in peers:
            pairs = zip(seconds[name + BEFORE, action], values, strict=True)
            row["of_before"] = float(np.median([b[0] / a[0] for b, a in pairs]))
        results.append(row)
    mmoe = np.median([cpu for cpu, _ in seconds["MMoE", "fit"]])
    for row in results:
        if (row["entry"], "fit") in grown and row["action"] == "fit":
            row["times_slower_than_our_mmoe"] = 1 / row["rows_per_cpu_s"] / mmoe
    return results


def threads_ratio(name, X, y, batch_size, rounds) -> dict[str, float]:
    """How many times as fast two threads are as one, by the clock, round by round."""
    n_rows = max(batch_size, len(X) // 8) if name in SLOW else len(X)
    entry = Ours(name, X[:n_rows], y[:n_rows], batch_size)
    ratios: dict[str, list[float]] = {"fit": [], "predict": []}
    for turn in range(rounds + 1):  # the first one warms up
        for action, run in (("fit", entry.fit_epoch), ("predict", entry.predict)):
            seconds = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                seconds.append(timed(run)[1])
            if turn:
                ratios[action].append(seconds[0] / seconds[1])
    return {action: float(np.median(values)) for action, values in ratios.items()}


def compare_threads(X, y, batches, rounds) -> None:
    for batch_size in batches:
        print(f"\nbatch {batch_size}, two threads, times as fast as one")
        for name in OURS:
            found = threads_ratio(name, X, y, batch_size, rounds)
            print(f"{name:22}fit {found['fit']:5.2f}   predict {found['predict']:5.2f}")


def race_experts(X, y, batch_size, rounds, before=None) -> list[dict]:
    """Rows of results of the networks that differ in their experts, on three tasks."""
    y = with_third_task(y)
    entries = {name: Ours(name, X, y, batch_size) for name in EXPERTS}
    seconds: dict = {name: [] for name in entries}
    others: dict = {name: [] for name in entries}
    for turn in range(rounds + 1):  # the first one warms up
        for name, entry in entries.items():
            taken = timed(entry.fit_epoch)
            told = before.ask(f"fit: {name}") if before else {"cpu": np.nan}
            if turn:
                seconds[name].append(taken)
                others[name].append(told["cpu"])
    results = []
    for name, values in seconds.items():
        cpu, wall = np.median(values, axis=0)
        row = {
            "entry": name,
            "action": "fit",
            "rows_per_cpu_s": len(X) / cpu,
            "rows_per_s": len(X) / wall,
        }
        if name in OTHER_EXPERTS:
            pairs = zip(values, seconds[OTHER_EXPERTS[name]], strict=True)
            row["times_the_other_experts"] = float(
                np.median([a[0] / b[0] for a, b in pairs])
            )
        if before:
            pairs = zip(others[name], values, strict=True)
            row["of_before"] = float(np.median([b / a[0] for b, a in pairs]))
        results.append(row)
    return results


def memory(name, X, y, batch_size) -> float:
    """Growth of this process's resident memory, MB, over an epoch at its peak."""
    reference = {bare: ours for ours, bare in REFERENCE.items()}
    entry = Ours(reference.get(name, name), X, y, batch_size)
    if name in reference:
        entry = bare(name, entry, y, batch_size)
    before = peak_memory(reset=True)
    entry.fit_epoch()
    return peak_memory() - before


def start_peers(options, batch_size, threads) -> dict[str, Peer]:
    peers = {}
    environment = {
        **os.environ,
        "BENCH_THREADS": str(threads),
        "BENCH_DATA": str(Path(options.data or "") / "census"),
    }
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.pop(variable, None)
    for pair in options.python if options.peers else ():
        package, _, python = pair.partition("=")
        for model in PEERS:
            command = [python, str(Path(__file__).parent / "_peer.py"), options.peers]
            command += [f"bench_{package}.py", "--model", model]
            command += ["--rows", str(options.rows), "--batch", str(batch_size)]
            peers[f"{package} {model}"] = Peer(command, environment)
    return peers


def show(rows: list[dict]) -> None:
    print(
        f"{'entry':22}{'action':9}{'rows/CPU-s':>12}{'rows/s':>10}"
        f"{'of bare':>9}{'of ceiling':>12}{'of before':>11}{'MMoE is faster by':>19}"
    )
    for row in rows:
        cells = [
            f"{row[key]:{width}.2f}" if key in row else " " * width
            for key, width in (
                ("of_bare", 9),
                ("share_of_ceiling", 12),
                ("of_before", 11),
                ("times_slower_than_our_mmoe", 19),
            )
        ]
        print(
            f"{row['entry']:22}{row['action']:9}{row['rows_per_cpu_s']:12,.0f}"
            f"{row['rows_per_s']:10,.0f}" + "".join(cells)
        )


def show_experts(rows: list[dict]) -> None:
    print(
        f"\n{'experts, three tasks':22}{'rows/CPU-s':>12}{'of before':>11}"
        f"{'times the seconds of':>24}"
    )
    for row in rows:
        line = f"{row['entry']:22}{row['rows_per_cpu_s']:12,.0f}"
        line += f"{row['of_before']:11.2f}" if "of_before" in row else " " * 11
        if row["entry"] in OTHER_EXPERTS:
            line += f"{row['times_the_other_experts']:8.2f}  "
            line += OTHER_EXPERTS[row["entry"]]
        print(line)


def main(options) -> None:
    X, y = load(options.data, options.rows)
    if options.memory:
        torch.set_num_threads(1)
        print(memory(options.memory, X, y, options.batch[0]))
        return
    if options.compare_threads:
        compare_threads(X, y, options.batch, options.rounds)
        return
    results = Results(options.output, ("data", "threads", "batch", "entry", "action"))
    about = {"data": "census" if options.data else "simulated", "rows": len(X)}
    about |= {"rounds": options.rounds, **environment()}
    about |= {"before": commit_of(options.before)} if options.before else {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for batch_size in options.batch:
            peers = start_peers(options, batch_size, threads)
            before = start_before(options, batch_size, threads)
            if before:
                peers |= {name + BEFORE: Before(before, name) for name in OURS}
            print(f"\nbatch {batch_size}, {threads} threads, {len(X):,} rows")
            try:
                rows = race(X, y, batch_size, options.rounds, peers)
                experts = race_experts(X, y, batch_size, options.rounds, before)
            finally:
                for peer in [*peers.values(), *([before] if before else [])]:
                    peer.close()
            show(rows)
            show_experts(experts)
            for row in [*rows, *experts]:
                results.add({"threads": threads, "batch": batch_size, **row, **about})
    if not options.skip_memory:
        compare_memory(options, results, about)


def compare_memory(options, results, about) -> None:
    """Each entry in a process of its own."""
    print("\nGrowth of resident memory in an epoch of batches of 1024, MB")
    for name in [*OURS, *REFERENCE.values()]:
        command = [sys.executable, __file__, "--memory", name, "--batch", "1024"]
        command += ["--rows", str(options.rows)]
        command += ["--data", options.data] if options.data else []
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        grown = float(output.stdout.split()[-1])
        print(f"{name:22}{grown:10.0f}")
        row = {"threads": 1, "batch": 1024, "entry": name, "action": "memory"}
        results.add({**row, "rss_mb": grown, **about})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder that holds census/")
    parser.add_argument("--rows", type=int, default=32_768)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[256, 1024, 4096, 16_384]
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--compare-threads", action="store_true", help="two threads beside one"
    )
    parser.add_argument("--peers", help="folder of the peers' scripts")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--before", help="checkout of another commit")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--output", default=RESULTS / "speed.jsonl")
    main(parser.parse_args())
