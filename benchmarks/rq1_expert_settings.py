"""RQ1 (table I): which experts of MT-PHN should the tasks share?

    python benchmarks/rq1_expert_settings.py --data FOLDER
    python benchmarks/rq1_expert_settings.py --data FOLDER --datasets ali-ccp
    python benchmarks/rq1_expert_settings.py --rows 2000 --seeds 1 --datasets simulated

The three expert settings of MT-PHN beside every baseline, by the protocol of RQ3, with
which the results are shared: "MT-PHN" shares the DNN experts alone, as DEPHN does.
Differences are those from it within a seed.
"""

from __future__ import annotations

from _paper import SYSTEMS, compare

ASKED = [name for name in SYSTEMS if not name.startswith(("DEPHN", "ESMM", "AITM"))]

if __name__ == "__main__":
    compare(
        __doc__,
        systems=ASKED,
        datasets=["census-2", "kuairand-3"],
        reference="MT-PHN",
    )
