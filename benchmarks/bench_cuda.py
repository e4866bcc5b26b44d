"""How fast is training on a GPU, and how near to what its memory allows?

    python benchmarks/bench_cuda.py --all --out FOLDER
    python benchmarks/bench_cuda.py --rows 4000000 --batch 16384 65536

Rows are simulated, of the shape of Census or with ids of a large table. Each line is a
step of a network of this library as in fit, the median over the repeats:
rows per second; the time between synchronisations of one step; the least number of
bytes that the step must move, which are those of the look-ups and their gradients, of
the parameters and of the optimizer's state; the bandwidth that this makes; and the
share of the floor, the time of those bytes at the rate of a copy on the device,
measured in the same run. Without a CUDA device it says so and ends.

Ways to run the step: "full" and "tf32" and "bf16" are the estimators' `precision`, with
the rows on the device; "sent" has the rows in the processor's memory, from which each
batch is sent while the device works on the one before; "compiled" is full precision
with ``compile=True``, which records CUDA graphs.

With ``--all``, it runs the tests that are marked cuda, these steps, whole fits and
predictions on the device and on the processor, and writes ``cuda.jsonl`` and the page
``cuda.md`` into the folder. What no longer fits into ``--minutes`` is left out; that,
and what fails, is named there. A dry run of all but the tests and lower precision is
``--all --device cpu --rows 2000 --batch 256 --repeats 1``: there, "compiled" is only
traced, so that no compiler is needed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from _report import RESULTS, Results, environment, markdown

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier, PLEClassifier
from dephn_sk.nn import use_generator
from dephn_sk.training import ArraySource, FitPlan, Trainer, _compiled, _source
from dephn_sk.training._evaluation import products

N_CODES, N_NUMERIC = 32, 7
CODES = {"census": 16, "ids": 150_000}  # categories of a column
NETWORKS = {
    "DEPHN": DEPHNMultiTaskClassifier,
    "MMoE": MMoEClassifier,
    "DEPHN, paper": DEPHNMultiTaskClassifier.paper_configuration,
    "PLE": PLEClassifier,
    "DEPHN, three": partial(DEPHNMultiTaskClassifier, n_networks=3),
}
PRECISIONS = ("tf32", "bf16")
WAYS = ("full", "tf32", "bf16", "sent", "compiled")
KEY = ("device", "shape", "entry", "way", "batch")
FIT_ROWS, FIT_EPOCHS = 50_000, 2
FIT_BATCHES = ("auto", 4096)
TESTS = Path(__file__).parents[1] / "tests"
TESTS_SHARE = 0.4  # of the time, at most


def make(shape: str, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = np.empty((n_rows, N_CODES + N_NUMERIC), dtype=np.float32)
    for j in range(N_CODES):  # whole numbers that float32 holds
        X[:, j] = np.floor(CODES[shape] * rng.random(n_rows) ** 3)
    X[:, N_CODES:] = rng.normal(size=(n_rows, N_NUMERIC))
    return X, rng.integers(0, 2, (n_rows, 2), dtype=np.uint8)


def model(entry: str, device: str, **options):
    """An estimator all of whose ids have rows of their own."""
    return NETWORKS[entry](
        device=device,
        early_stopping=False,
        embedding_dim=16,
        random_state=0,
        target_statistics=None,
        categorical_features=[True] * N_CODES + [False] * N_NUMERIC,
        **options,
    )


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(device: str) -> float:
    """The most memory that torch has taken on the device, in MiB."""
    on_cuda = device == "cuda"
    return torch.cuda.max_memory_allocated() / 2**20 if on_cuda else float("nan")


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def bandwidth(device: str) -> float:
    """Bytes a second that a copy on the device reads and writes."""
    source = torch.empty(2**28 if device == "cuda" else 2**22, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    wait(device)
    start = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    wait(device)
    return 10 * 2 * 4 * source.numel() / (time.perf_counter() - start)


# ------------------------------------------------------------------------------ steps


def least_bytes(network, batch_size: int) -> int:
    """Look-ups and their gradients, and a dense pass of AdamW where there is one."""
    tables = list(network.tables())
    in_tables = sum(one.table.numel() for one in tables)
    others = sum(p.numel() for p in network.parameters()) - in_tables
    looked_up = batch_size * sum(one.n_categorical * one.dim for one in tables)
    # AdamW reads gradient, parameter and two moments, and writes all but the gradient
    dense = others + sum(0 if one.sparse else one.table.numel() for one in tables)
    return 4 * (3 * looked_up + 7 * dense)


@cache
def encoded(shape: str, n_rows: int, device: str):
    """A plan for simulated rows, their fields and their labels."""
    X, y = make(shape, n_rows)
    plan = FitPlan.of(model(next(iter(NETWORKS)), device), X, y, epochs=1)
    return plan, plan.learned.encoder.encode(X), y


def encode(shape: str, options) -> dict:
    encoded(shape, options.rows, options.device)
    return {}


def planned(shape: str, entry: str, way: str, batch_size: int, options) -> FitPlan:
    """The plan of a network on rows that are encoded once, run in one of the ways."""
    plan, fields, labels = encoded(shape, options.rows, options.device)
    share, precision = _source.RESIDENT_SHARE, way if way in PRECISIONS else "full"
    try:
        _source.RESIDENT_SHARE = 0.0 if way == "sent" else 1.0
        train = ArraySource(fields, labels, device=plan.train.device)
    finally:
        _source.RESIDENT_SHARE = share
    compiled = way == "compiled"
    template = model(entry, options.device, precision=precision, compile=compiled)
    n_members = template.n_networks if template.n_networks != "auto" else 1
    learned = replace(plan.learned, template=template, n_members=n_members)
    return replace(plan, learned=learned, train=train, batch_size=batch_size)


def measure(shape: str, entry: str, way: str, batch_size: int, options) -> dict:
    """Medians over the repeats of some steps each."""
    plan = planned(shape, entry, way, batch_size, options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with products(plan.train.device, plan.learned.template.precision):
            row = time_steps(Trainer(plan.begin(), plan), batch_size, options)
    return failure_of(told) or row


def failure_of(told: list) -> dict:
    """Why the network was not compiled, where warnings say so."""
    said = (str(one.message) for one in told)
    why = next((one for one in said if one.startswith("compile=")), None)
    return {} if why is None else {"failure": why}


def time_steps(trainer: Trainer, batch_size: int, options) -> dict:
    state, device = trainer.state, options.device
    state.net.module_ = network = state.network
    use_generator(network.train(), trainer._generator)
    reset_peak(device)
    seconds, first = [], float("nan")
    for repeat in range(options.repeats + 1):  # the first one warms up, and compiles
        wait(device)
        start, n_steps = time.perf_counter(), 0
        for batch in trainer._shuffled(trainer.plan.train, repeat, 0):
            trainer._step(batch)
            n_steps += 1
            if n_steps == 1 and not repeat:
                wait(device)
                first = time.perf_counter() - start
            if n_steps == options.steps:
                break
        wait(device)
        if repeat:
            seconds.append((time.perf_counter() - start) / n_steps)
    step = float(np.median(seconds))
    return {
        "rows_per_s": batch_size / step,
        "step_ms": 1e3 * step,
        "first_s": first,
        "bytes_per_s": least_bytes(network, batch_size) / step,
        "peak_mib": peak(device),
    }


def main(options) -> None:
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("bench_cuda.py needs a CUDA device, and torch finds none here.")
    if options.all:
        run_all(options)
        return
    name, copy = described(options.device), bandwidth(options.device)
    print(f"{name}, torch {torch.__version__}, a copy moves {copy / 1e9:,.0f} GB/s")
    print(
        f"{'shape':8}{'network':14}{'way':10}{'batch':>8}{'rows/s':>14}"
        f"{'ms a step':>11}{'GB/s':>8}{'of floor':>10}{'MiB':>8}"
    )
    results = Results(options.output, KEY)
    for shape in CODES:
        for entry in NETWORKS:
            for way in options.ways:
                for batch_size in options.batch:
                    asked = shape, entry, way, batch_size
                    row = dict(zip(KEY, (name, *asked), strict=True))
                    row |= measure(*asked, options)
                    show(row, copy)
                    results.add({**row, "copy": copy, **environment()})


def described(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


def show(row: dict, copy: float) -> None:
    line = f"{row['shape']:8}{row['entry']:14}{row['way']:10}{row['batch']:8}"
    if "failure" in row:
        print(line + "  " + row["failure"])
        return
    print(
        f"{line}{row['rows_per_s']:14,.0f}{row['step_ms']:11.2f}"
        f"{row['bytes_per_s'] / 1e9:8.0f}{row['bytes_per_s'] / copy:10.2f}"
        f"{row['peak_mib']:8.0f}"
    )


# -------------------------------------------------------------- fits and predictions


def fit_and_predict(entry: str, batch, device: str, compiled: bool, options) -> dict:
    """Seconds of a whole fit, of its epochs alone, and of predictions."""
    X, y = make("census", min(options.rows, FIT_ROWS))
    given = {"max_epochs": FIT_EPOCHS, "batch_size": batch, "compile": compiled}
    reset_peak(device)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fitted = model(entry, device, **given).fit(X, y)
    wait(device)
    row = {"fit_s": time.perf_counter() - start, "peak_mib": peak(device)}
    row["epochs_s"] = float(np.sum(fitted.net_.history[:, "dur"]))
    fields = fitted.encoder_.encode(X)
    fitted.logits_of(fields)
    for name, call in (
        ("logits", partial(fitted.logits_of, fields)),
        ("predict", partial(fitted.predict_proba, X)),
    ):
        start = time.perf_counter()
        call()
        row[f"{name}_per_s"] = len(X) / (time.perf_counter() - start)
    return failure_of(told) or row


def warm_up(options) -> dict:
    """What the device's libraries load once is no part of a fit."""
    X, y = make("census", 500)
    model(next(iter(NETWORKS)), options.device, max_epochs=1).fit(X, y)
    return {"copy": bandwidth(options.device)}


# ------------------------------------------------------------------------------- tests


def cuda_tests(seconds: float) -> dict:
    """How the tests that are marked cuda end, within so many seconds."""
    files = [str(f) for f in TESTS.rglob("test_*.py") if "mark.cuda" in f.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "-rf", "--tb=line"]
    command += ["-p", "no:cacheprovider", *sorted(files)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=TESTS.parent,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"not done within {seconds:.0f} s"}
    return read_tests(done.stdout)


def read_tests(printed: str) -> dict:
    """Numbers and names from what pytest prints.

    >>> read_tests("FAILED a.py::b - x\\n1 failed, 2 passed, 3 skipped in 4.5s")
    {'failed': 1, 'passed': 2, 'skipped': 3, 'names': ['a.py::b']}
    """
    last = (printed.strip().splitlines() or ["nothing"])[-1]
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)", last)
    if not found:
        return {"failure": f"pytest says: {last}"}
    names = re.findall(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    return {**{kind: int(n) for n, kind in found}, "names": names}


# --------------------------------------------------------------------------- all of it


@dataclass
class Part:
    """Something to run, and about how long it takes where nothing is known yet."""

    kind: str
    about: dict
    seconds: float
    run: Callable[[], dict]

    @property
    def name(self) -> str:
        about = {k: v for k, v in self.about.items() if k not in ("device", "compiled")}
        return ", ".join([self.kind, *map(str, about.values())])


@dataclass
class Budget:
    """Seconds until the end, by which parts are run or left out."""

    seconds: float
    start: float = field(default_factory=time.monotonic)
    taken: dict = field(default_factory=dict)

    @property
    def left(self) -> float:
        return self.start + self.seconds - time.monotonic()

    def expected(self, part: Part) -> float:
        """The longest of its kind so far, or what is guessed."""
        return self.taken.get(part.kind, part.seconds)

    def run(self, part: Part) -> dict | None:
        """What the part gives; None where it does not fit into what is left."""
        if 1.1 * self.expected(part) > self.left:
            return None
        start = time.monotonic()
        try:
            row = part.run()
        except Exception as error:  # the others shall run
            said = (str(error).splitlines() or [""])[0]
            row = {"failure": f"{type(error).__name__}: {said}"}
        seconds = time.monotonic() - start
        self.taken[part.kind] = max(seconds, self.taken.get(part.kind, 0.0))
        about = {"part": part.kind, **part.about, "name": part.name}
        return {**about, **row, "seconds": seconds}


def parts_of(options, budget: Budget) -> Iterator[Part]:
    """All parts, by their worth."""
    yield Part("warm-up", {}, 10, partial(warm_up, options))
    if options.device == "cuda":
        yield Part(
            *("tests", {}, 60),
            lambda: cuda_tests(min(budget.left, TESTS_SHARE * budget.seconds)),
        )
    small, *larger = options.batch
    main_entries, others = list(NETWORKS)[:2], list(NETWORKS)[2:]
    # on a CPU one does nothing, and the other has no instructions on most
    of_cuda = PRECISIONS if options.device == "cpu" else ()
    plain = [way for way in options.ways if way not in (*of_cuda, "compiled")]
    compiled = [way for way in options.ways if way == "compiled"]

    def steps(shape, entries, ways, batches):
        for entry in entries:
            for way in ways:
                for batch in batches:
                    about = dict(zip(KEY[1:], (shape, entry, way, batch), strict=True))
                    kind = "compiled steps" if way == "compiled" else "steps"
                    run = partial(measure, *about.values(), options)
                    yield Part(kind, about, 60 if way == "compiled" else 10, run)

    def fits(entries, batches, ways):
        for entry in entries:
            for batch in batches:
                for device, graph in ways:
                    about = {"entry": entry, "batch": batch, "device": device}
                    about["compiled"] = graph
                    run = partial(fit_and_predict, *about.values(), options)
                    seconds = 60 if graph or device == "cpu" else 15
                    kind = f"{'compiled ' if graph else ''}fit on {device}"
                    yield Part(kind, about, seconds, run)

    def encoding(shape):
        run = partial(encode, shape, options)
        yield Part("encoding", {"shape": shape}, 20, run)

    devices = dict.fromkeys([options.device, "cpu"])
    both = [(device, False) for device in devices]
    yield from encoding("census")
    yield from steps("census", main_entries, plain, options.batch)
    yield from steps("census", main_entries, compiled, [small])
    yield from fits(main_entries, FIT_BATCHES, both)
    yield from encoding("ids")
    yield from steps("ids", main_entries, plain, options.batch)
    yield from steps("census", others, plain, [small])
    yield from fits(main_entries[:1], FIT_BATCHES[:1], [(options.device, True)])
    if options.device == "cuda":  # to trace all of them takes most of a dry run
        yield from steps("census", others, compiled, [small])
        yield from steps("ids", main_entries, compiled, [small])
        yield from steps("census", main_entries, compiled, larger)
    yield from fits(others, FIT_BATCHES[:1], both)
    yield from steps("ids", others, plain, [small])


def run_all(options) -> None:
    """Run what fits into the time, and write lines and page after each part."""
    folder = Path(options.out)
    path = folder / "cuda.jsonl"
    path.unlink(missing_ok=True)
    results, left_out = Results(path, ()), []
    how = _compiled.how
    if options.device != "cuda":  # a dry run needs no compiler
        _compiled.how = lambda device: {"backend": "aot_eager"}
    budget = Budget(60 * options.minutes)
    about = {"machine": described(options.device), **environment()}
    try:
        for part in parts_of(options, budget):
            row = budget.run(part)
            if row is None:
                left_out.append(part.name)
                continue
            print(f"{part.name}: {row['seconds']:.1f} s", file=sys.stderr)
            results.add({**row, **about})
            (folder / "cuda.md").write_text(page(results.rows, left_out, options))
    finally:
        _compiled.how = how
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cuda.md").write_text(page(results.rows, left_out, options))


def page(rows: list[dict], left_out: list[str], options) -> str:
    """All that was found, as a page of the documentation."""
    about = rows[0] if rows else {"machine": described(options.device), **environment()}
    versions = about["versions"]
    text = [
        "# On a GPU",
        f"{about['machine']}, torch {versions['torch']}, Python {versions['python']}, "
        f"commit {about['commit'] or 'unknown'}, {about['cores']} cores. "
        f"`python benchmarks/bench_cuda.py --all --out FOLDER` on {options.rows:,} "
        "simulated rows of 32 categorical and 7 numeric columns, and two tasks.",
    ]
    whole = [row for row in rows if "failure" not in row]
    (copy,) = [row["copy"] for row in whole if "copy" in row] or [float("nan")]
    for kind, section in SECTIONS.items():
        if own := [row for row in whole if kind in row["part"]]:
            text.append(section(own, copy))
    failed = [f"- {row['name']}: {row['failure']}" for row in rows if "failure" in row]
    if failed:
        text.append("## Failed\n\n" + "\n".join(failed))
    if left_out:
        names = "\n".join(f"- {name}" for name in left_out)
        text.append(f"## Left out of {options.minutes:g} minutes\n\n{names}")
    return "\n\n".join(text) + "\n"


def tests_in_words(rows: list[dict], copy: float) -> str:
    (row,) = rows
    kinds = ("passed", "failed", "error", "errors", "skipped")
    counts = ", ".join(f"{row[kind]} {kind}" for kind in kinds if kind in row)
    names = "".join(f"\n- `{name}`" for name in row["names"])
    text = f"## Tests marked cuda\n\n{counts} in {row['seconds']:.0f} s."
    return text + (f" These failed:\n{names}" if names else "")


def steps_in_words(rows: list[dict], copy: float) -> str:
    def asked(row: dict) -> tuple:
        return row["shape"], row["entry"], row["batch"]

    full = {asked(row): row["rows_per_s"] for row in rows if row["way"] == "full"}
    lines = []
    for row in rows:
        ratio = row["rows_per_s"] / full.get(asked(row), float("nan"))
        cells = [row["shape"], row["entry"], row["way"], f"{row['batch']:,}"]
        cells += [f"{row['rows_per_s']:,.0f}", f"{row['step_ms']:.2f}", f"{ratio:.2f}"]
        cells += [f"{row['bytes_per_s'] / copy:.2f}", f"{row['peak_mib']:,.0f}"]
        lines.append([*cells, f"{row['first_s']:.1f}"])
    header = ["rows", "network", "way", "batch", "rows/s", "ms a step", "of full"]
    header += ["of floor", "MiB", "first step, s"]
    return (
        '## Steps\n\nMedians. "Of full" is the rate over that of full precision, "of '
        'floor" the bandwidth of what a step must move at least over that of a copy, '
        f"{copy / 1e9:,.0f} GB/s; MiB are the most that torch has taken on the device."
        f"\n\n{markdown(header, lines)}"
    )


def fits_in_words(rows: list[dict], copy: float) -> str:
    def asked(row: dict) -> tuple:
        return row["entry"], row["batch"]

    cpu = {
        asked(row): row["epochs_s"]
        for row in rows
        if row["device"] == "cpu" and not row["compiled"]
    }
    lines = []
    for row in rows:
        device = row["device"] + (", compiled" if row["compiled"] else "")
        ratio = cpu.get(asked(row), float("nan")) / row["epochs_s"]
        cells = [row["entry"], str(row["batch"]), device, f"{row['fit_s']:.1f}"]
        cells += [f"{row['epochs_s']:.1f}", f"{ratio:.1f}", f"{row['peak_mib']:,.0f}"]
        lines.append(
            [*cells, *(f"{row[f'{one}_per_s']:,.0f}" for one in ("logits", "predict"))]
        )
    header = ["network", "batch", "on", "fit, s", "epochs, s", "times the CPU", "MiB"]
    header += ["rows of logits/s", "rows predicted/s"]
    return (
        f"## Fits and predictions\n\nFits of {FIT_EPOCHS} epochs on at most "
        f'{FIT_ROWS:,} rows, on the CPU with all cores; "times the CPU" is of the '
        "epochs alone. Logits are of encoded rows, predictions begin with the encoder."
        f"\n\n{markdown(header, lines)}"
    )


SECTIONS = {"tests": tests_in_words, "steps": steps_in_words, "fit": fits_in_words}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="tests and all figures")
    parser.add_argument("--out", default=RESULTS, help="folder for --all")
    parser.add_argument("--minutes", type=float, default=8, help="limit of --all")
    parser.add_argument("--rows", type=int, help="a million; 400,000 with --all")
    parser.add_argument("--batch", type=int, nargs="+", default=[4096, 16_384, 65_536])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--output", default=RESULTS / "cuda.jsonl")
    options = parser.parse_args(given)
    options.rows = options.rows or (400_000 if options.all else 1_000_000)
    return options


if __name__ == "__main__":
    main(arguments())
