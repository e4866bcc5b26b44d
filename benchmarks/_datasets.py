"""The data sets of the benchmarks: public ones from a folder, and simulated logs.

``DATASETS[name](part, data, draw)`` gives the rows and labels of a part, "train",
"validation" or "test". `data` is the folder of the public sets; simulated logs need
none. For the sets in DRAWN, every draw is another log, or another split of few rows;
the others are always the same. The parts are those of the loaders.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dephn_sk.datasets import (
    load_census_income,
    load_drugs,
    load_kuairand,
    load_myocardial,
    load_oulad,
    make_behavior_log,
)

N_LOGGED, TRAINED, VALIDATED = 60_000, 40_000, 48_000
FEWEST_TO_STOP_ON = 2_000


def of(loader, **options):
    """A loader's parts."""

    def load(part, data, draw=0):
        return loader(data, subset=part, return_X_y=True, **options)

    return load


def split_anew(loader):
    """A loader's parts, by another split for each draw."""

    def load(part, data, draw=0):
        return of(loader, split_seed=2023 + draw)(part, data)

    return load


def simulated(unlabeled=0.0, **options):
    """A log for each draw, cut in time; the share `unlabeled` of labels is missing."""

    def load(part, data=None, draw=0):
        log = make_behavior_log(N_LOGGED, random_state=draw, **options)
        cuts = {"train": (0, TRAINED), "validation": (TRAINED, VALIDATED)}
        rows = slice(*cuts.get(part, (VALIDATED, None)))
        X, y = log.data[rows], log.target[rows]
        if unlabeled and part == "train":
            rng = np.random.default_rng(draw)
            y = y.mask(rng.uniform(size=y.shape) < unlabeled)
        return X, y

    return load


SIMULATED = {
    "simulated": simulated(),
    "simulated, idle ids": simulated(id_effect=0.0),
    "simulated, strong ids": simulated(id_effect=2.0, n_users=4_000, n_items=2_000),
    "simulated, products": simulated(number_interactions=2.0),
    "simulated, drift": simulated(drift=0.5),
    "simulated, rare": simulated(click_rate=0.05, like_rate=0.1, purchase_rate=0.05),
    "simulated, unlabeled": simulated(unlabeled=0.7),
}
DATASETS = {
    **SIMULATED,
    "census-2": of(load_census_income),
    "census-3": of(
        load_census_income, tasks=("income", "never_married", "any_college")
    ),
    "census-marital": of(load_census_income, tasks=("income", "marital_status")),
    "kuairand-3": of(load_kuairand),
    "kuairand-8": of(load_kuairand, tasks="all", missing_without_click=False),
    "oulad-3": of(load_oulad),
    "myocardial-12": split_anew(load_myocardial),
    "drugs-17": split_anew(load_drugs),
}
DRAWN = {*SIMULATED, "myocardial-12", "drugs-17"}


def read(dataset, part, data, seed):
    """A part, of the draw of the seed where the set is drawn; never change it."""
    return _read(dataset, part, data, seed if dataset in DRAWN else 0)


@lru_cache(maxsize=4)
def _read(dataset, part, data, draw):
    return DATASETS[dataset](part, data, draw)


def sample(X, y, rows: int | None, seed: int):
    """Some rows by chance, in their order, with the tasks that have two classes there.

    All rows where `rows` is None or there are no more.
    """
    if rows and rows < len(X):
        rng = np.random.default_rng(seed)
        kept = np.sort(rng.choice(len(X), rows, replace=False))
        X, y = X.iloc[kept], y.iloc[kept]
    return X, y.loc[:, y.nunique() > 1]


def stopping_and_judging(X, y):
    """Keywords of ``fit`` that end it, and the rows that judge, of a validation part.

    Its first half, which in a log is the earlier one, ends the fit, and its second half
    judges. All of a small part judges, and the fit ends as it does by itself.
    """
    if len(X) < FEWEST_TO_STOP_ON:
        return {}, (X, y)
    cut = len(X) // 2
    return {"X_val": X[:cut], "y_val": y[:cut]}, (X[cut:], y[cut:])
