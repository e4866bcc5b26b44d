"""Fixtures that several test folders need."""

import os
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
