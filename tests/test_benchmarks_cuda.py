"""One command measures a GPU within its time; a dry run shows that it would."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)

TINY = ["--rows", "300", "--batch", "64", "--repeats", "1", "--steps", "1"]


@pytest.fixture
def bench(script, monkeypatch):
    """The script, with one network instead of five."""
    bench_cuda = script("bench_cuda")
    monkeypatch.setattr(bench_cuda, "NETWORKS", {"MMoE": bench_cuda.NETWORKS["MMoE"]})
    return bench_cuda


@pytest.fixture
def dry_run(bench, tmp_path):
    """dry_run(*options): the lines and the page that a dry run leaves."""

    def run(*options):
        given = ["--all", "--device", "cpu", "--out", str(tmp_path), *TINY, *options]
        bench.main(bench.arguments(given))
        path = tmp_path / "cuda.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines], (tmp_path / "cuda.md").read_text()

    return run


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so_and_ends(bench):
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        bench.main(bench.arguments(["--all"]))


def test_a_dry_run_runs_all_but_what_needs_a_gpu(bench, dry_run):
    rows, page = dry_run()
    assert [row["name"] for row in rows if "failure" in row] == []
    names = [row["name"] for row in rows]
    for shape in bench.CODES:
        for way in ("full", "sent"):
            assert f"steps, {shape}, MMoE, {way}, 64" in names
    assert "compiled steps, census, MMoE, compiled, 64" in names
    assert {"fit on cpu, MMoE, auto", "compiled fit on cpu, MMoE, auto"} <= set(names)
    assert not any("tests" in name or "tf32" in name for name in names)
    n_steps = sum("step_ms" in row for row in rows)
    n_fits = sum("fit_s" in row for row in rows)
    tables = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(tables) == 2 * 2 + n_steps + n_fits  # with heads and rules
    assert "## Failed" not in page
    assert "## Left out" not in page


def test_what_does_not_fit_into_the_time_is_named(dry_run):
    rows, page = dry_run("--minutes", "0")
    assert not rows
    named = page.partition("## Left out of 0 minutes")[2]
    assert "- steps, census, MMoE, full, 64\n" in named
    assert "- compiled fit on cpu, MMoE, auto\n" in named


def test_a_part_that_fails_ends_no_other(bench, dry_run, monkeypatch):
    def fails(entry, *asked):
        raise MemoryError("no room\nfor it")

    monkeypatch.setattr(bench, "fit_and_predict", fails)
    rows, page = dry_run("--ways", "full")
    assert "- fit on cpu, MMoE, auto: MemoryError: no room\n" in page
    assert rows[-1]["part"] == "steps" or "failure" in rows[-1]
    assert "## Steps" in page
    assert "## Fits" not in page


def test_a_network_that_is_not_compiled_counts_as_failed(bench, dry_run, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    rows, page = dry_run("--ways", "full", "compiled")
    failed = [row["name"] for row in rows if "failure" in row]
    assert failed
    assert all("compiled" in name for name in failed)
    assert "compiled steps, census, MMoE, compiled, 64: compile=True, but" in page


def test_parts_of_a_kind_are_expected_to_take_as_long_as_before(bench):
    budget = bench.Budget(100.0)
    part = bench.Part("steps", {}, 50.0, dict)
    assert budget.expected(part) == 50.0
    assert budget.run(part) is not None
    assert budget.expected(part) < 1.0
    assert budget.run(bench.Part("fit", {}, 99.0, dict)) is None


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (
            "FAILED tests/a.py::b[c] - X\nERROR tests/d.py - Y\n"
            "1 failed, 20 passed, 3 skipped, 1 error in 4.5s",
            {
                **{"failed": 1, "passed": 20, "skipped": 3, "error": 1},
                "names": ["tests/a.py::b[c]", "tests/d.py"],
            },
        ),
        ("5 passed in 1.00s (0:00:01)\n", {"passed": 5, "names": []}),
        ("", {"failure": "pytest says: nothing"}),
    ],
)
def test_what_pytest_prints_is_counted(bench, printed, expected):
    assert bench.read_tests(printed) == expected


def test_the_page_tells_how_the_tests_ended(bench):
    options = bench.arguments(["--all", "--device", "cpu"])
    about = {"machine": "a GPU", **bench.environment()}
    row = {"part": "tests", "name": "tests", "passed": 7, "failed": 1}
    row |= {"names": ["tests/a.py::b"], "seconds": 3.2, **about}
    page = bench.page([row], [], options)
    assert "7 passed, 1 failed in 3 s. These failed:\n\n- `tests/a.py::b`" in page
    assert page.startswith("# On a GPU\n\na GPU, torch ")


def test_the_tests_that_are_run_are_those_marked_cuda(bench, monkeypatch):
    asked = []

    def run(command, *, timeout, **options):
        asked.append(command)
        if timeout < 1:
            raise subprocess.TimeoutExpired(command, timeout)
        return SimpleNamespace(stdout="3 passed in 0.1s")

    monkeypatch.setattr(subprocess, "run", run)
    assert bench.cuda_tests(9.0) == {"passed": 3, "names": []}
    assert bench.cuda_tests(0.5) == {"failure": "not done within 0 s"}
    (command, _) = asked
    assert command[1:5] == ["-m", "pytest", "-m", "cuda"]
    marked = "pytest.mark." + "cuda"
    files = (BENCHMARKS.parent / "tests").rglob("test_*.py")
    files = [file for file in files if marked in file.read_text()]
    assert files
    assert {str(file) for file in files} <= set(command)
