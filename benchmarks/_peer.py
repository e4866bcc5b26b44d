"""Serves one script of a folder of peers: an epoch or a prediction for every line read.

    PYTHON benchmarks/_peer.py FOLDER SCRIPT [arguments of the script]

The folder's module ``common`` calls a model's parts through its function ``drive``,
which is replaced here: lines "fit" and "predict" on the standard input each answer with
a JSON line of rows, seconds of processor and clock, and peak memory.
"""

import json
import runpy
import sys
import time
from pathlib import Path


def drive(name, arguments, data, build, fit_epoch, predict, extra=None):
    model = build()
    resident = peak_memory(reset=True)
    actions = {
        "fit": (lambda: fit_epoch(model), len(data["y_tr"])),
        "predict": (lambda: predict(model, "te"), len(data["y_te"])),
    }
    answer({"name": name})
    for line in sys.stdin:
        action, rows = actions[line.strip()]
        clock, processor = time.perf_counter(), time.process_time()
        action()
        answer(
            {
                "rows": rows,
                "cpu": time.process_time() - processor,
                "wall": time.perf_counter() - clock,
                "rss_mb": peak_memory() - resident,
            }
        )


def peak_memory(reset=False):
    """Highest resident memory of this process since the last reset, MB (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def import_from(checkout):
    """Let the library of a checkout be imported, and none that is installed."""
    if not (Path(checkout) / "dephn_sk").is_dir():
        raise SystemExit(f"{checkout!r} is no checkout: it has no folder dephn_sk.")
    sys.path.insert(0, checkout)


def answer(values):
    print("@" + json.dumps(values), flush=True)


if __name__ == "__main__":
    folder, script, *rest = sys.argv[1:]
    sys.path.insert(0, folder)
    import common

    common.drive = drive
    sys.argv = [script, *rest]
    runpy.run_path(str(Path(folder) / script), run_name="__main__")
