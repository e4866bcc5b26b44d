"""Fits that are killed end in the bytes of those that nobody kills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dephn_sk

# of each configuration; 10 make the 120 of `python tests/storage/_kills.py`
KILLS = os.environ.get("DEPHN_SK_KILLS", "1")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_killed_at_random_instants_a_fit_ends_in_the_same_bytes():
    pytest.importorskip("pandas")
    script = Path(__file__).with_name("_kills.py")
    library = str(Path(dephn_sk.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, script, "--kills", KILLS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": library, "OMP_NUM_THREADS": "1"},
    )
    print(done.stdout, done.stderr)
    n = 12 * int(KILLS)
    assert done.returncode == 0, done.stderr
    assert f"{n} of {n} runs ended in the same bytes" in done.stdout
