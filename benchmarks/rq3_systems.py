"""RQ3 (table II): how do all systems of the paper compare on each data set?

    python benchmarks/rq3_systems.py --data FOLDER
    python benchmarks/rq3_systems.py --data FOLDER --datasets ali-ccp wechat2021
    python benchmarks/rq3_systems.py --rows 2000 --seeds 1 --datasets simulated

One protocol for every system: embedding 8, quantile bins and a piecewise-linear
function for numbers, one layer of experts (64, 32), three of them, AdamW with 2e-3,
batches of 256, the same dropout, training rows and epochs, and the weights of the epoch
with the lowest validation loss; the test part is scored once. "DEPHN, paper"
is ``paper_configuration()`` in these sizes and with this dropout, "DEPHN" the
classifier's own choice of parts: no private experts, no soft selection, towers (32,).
ESMM and "DEPHN on a funnel" are told which task needs which (FUNNELS in _paper.py),
where there is a funnel; a task whose labels are missing without its condition is judged
given that.
Seeds are the outer loop; what is in the results is not run again. Differences are those
from MMoE within a seed.
"""

from __future__ import annotations

from _paper import SYSTEMS, compare

ASKED = [name for name in SYSTEMS if not name.startswith("MT-PHN, ")]

if __name__ == "__main__":
    compare(
        __doc__,
        systems=ASKED,
        datasets=["census-2", "census-3", "kuairand-3", "kuairand-8", "oulad-3"],
        reference="MMoE",
    )
