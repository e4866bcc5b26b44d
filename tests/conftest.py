"""Fixtures that several test folders need."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# read by SciPy when it is first imported; some of scikit-learn's checks need it
os.environ.setdefault("SCIPY_ARRAY_API", "1")


@pytest.fixture(scope="session")
def data_home():
    """Folder with the real data files; the test skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DEPHN_SK_DATA", beside))
    if not (folder / "census").is_dir():
        pytest.skip(f"no real data in {str(folder)!r} (set DEPHN_SK_DATA)")
    return folder


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """script(name): the module of a benchmark's script."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are not here")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__


@pytest.fixture
def call(script, monkeypatch, capsys):
    """call(name, *options): run a script's main, and return what it prints."""

    def run(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        script(name).main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def short_logs(script, monkeypatch):
    """The simulated logs of the scripts have few rows."""
    datasets = script("_datasets")
    sizes = {"N_LOGGED": 1_800, "TRAINED": 600, "VALIDATED": 1_200}
    for name, size in {**sizes, "FEWEST_TO_STOP_ON": 400}.items():
        monkeypatch.setattr(datasets, name, size)
    datasets._read.cache_clear()
    yield
    datasets._read.cache_clear()


@pytest.fixture
def short_fits(monkeypatch):
    """Few rows are cross-validated in little time, where epochs are not the point."""
    from dephn_sk.training import _cross_validation

    for name, size in {"N_FOLDS": 2, "PATIENCE": 1, "N_MEMBERS": 2}.items():
        monkeypatch.setattr(_cross_validation, name, size)


# without pandas, the files and folders that make frames are left out
collect_ignore = (
    []
    if find_spec("pandas")
    else [
        str(path.parent if path.name == "conftest.py" else path)
        for path in Path(__file__).parent.glob("*/*.py")
        if "import pandas" in path.read_text()
    ]
    + [
        str(path)
        for path in Path(__file__).parent.glob("test_*.py")
        if "import pandas" in path.read_text()
    ]
)
