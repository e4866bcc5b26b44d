"""No damage, and no lie, of a file does anything but raise or predict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MUTATIONS = int(os.environ.get("DEPHN_SK_MUTATIONS", "600"))
SHARES = 2  # run side by side where tests are


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of memory of Linux")
@pytest.mark.parametrize("seed", range(SHARES))
def test_mutations_of_a_file_are_refused_or_predict(seed):
    pytest.importorskip("pandas")
    script = Path(__file__).with_name("fuzz.py")
    wanted = MUTATIONS // SHARES
    done = subprocess.run(
        [sys.executable, script, f"--mutations={wanted}", f"--seed={seed}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{wanted} mutations" in done.stdout
