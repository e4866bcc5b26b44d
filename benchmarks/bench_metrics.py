"""Are per-user AUCs fast?  gauc and uauc against a loop over users.

    python benchmarks/bench_metrics.py --rows 1000000 --users 100000

The loop calls roc_auc_score for each user. It is timed on a random part of the users
and scaled to all of them; ``--timed-users 100000`` times it in full. The values are
compared on that part of the users.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.metrics import roc_auc_score

from dephn_sk.metrics import gauc, uauc


def make_impressions(rows, users, seed):
    """Labels, probabilities and users of an impression log, in no order."""
    rng = np.random.default_rng(seed)
    prob = rng.beta(1, 4, size=rows)
    y = (rng.random(rows) < prob).astype(float)
    return y, prob, rng.integers(users, size=rows)


def loop_over_users(y, prob, users):
    """Mean AUC of the users with both classes: weighted by rows, and plain."""
    order = np.argsort(users, kind="stable")
    starts = np.flatnonzero(np.diff(users[order])) + 1
    values, sizes = [], []
    for rows in np.split(order, starts):
        if 0 < y[rows].sum() < len(rows):
            values.append(roc_auc_score(y[rows], prob[rows]))
            sizes.append(len(rows))
    return np.average(values, weights=sizes), np.mean(values)


def seconds(function, *args):
    """The time it took, and what it returned."""
    start = time.perf_counter()
    returned = function(*args)
    return time.perf_counter() - start, returned


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, help="default: a tenth of the rows")
    parser.add_argument("--timed-users", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    n_users = args.users or max(args.rows // 10, 1)
    y, prob, users = make_impressions(args.rows, n_users, args.seed)
    present = np.unique(users)
    timed = np.random.default_rng(args.seed).permutation(present)[: args.timed_users]
    part = np.isin(users, timed)
    loop, expected = seconds(loop_over_users, y[part], prob[part], users[part])
    scale = len(present) / len(timed)
    print(f"{args.rows} rows, {len(present)} users")
    print(
        f"loop over users: {loop:.2f} s for {len(timed)} users"
        + (f", scaled to {loop * scale:.1f} s for all" if scale > 1 else "")
    )
    for metric, value in zip((gauc, uauc), expected, strict=True):
        taken, _ = seconds(metric, y, prob, users)
        (ours,) = metric(y[part], prob[part], users[part])
        print(
            f"{metric.__name__}: {taken:.2f} s, {loop * scale / taken:.0f} times as "
            f"fast; differs by {abs(ours - value):.1e} on the users timed"
        )


if __name__ == "__main__":
    main()
