"""A table of every kind of column, and the same rows in files."""

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def table_of(n=6000, seed=0, n_users=700):
    """Rows with ids, text, numbers, dates, lists, missing values, labels, weights."""
    rng = np.random.default_rng(seed)
    user = rng.zipf(1.3, n) % n_users
    device = rng.choice(["phone", "tablet", "tv"], n, p=[0.6, 0.3, 0.1])
    price = rng.lognormal(size=n).round(3)
    shift = rng.normal(0, 1, n_users)[user]
    click = rng.random(n) < 1 / (1 + np.exp(-(shift + (device == "tv"))))
    like = rng.random(n) < 1 / (1 + np.exp(-(shift - price.clip(0, 3))))
    tags = [list(map(int, rng.integers(0, 30, k))) for k in rng.integers(0, 4, n)]
    missing = rng.random((6, n)) < 0.1
    return pa.table(
        {
            "user_id": pa.array(user),
            "item": pa.array([f"i{i}" for i in rng.zipf(1.5, n) % 90]),
            "device": pa.array(device, mask=missing[0]).dictionary_encode(),
            "member": pa.array(rng.random(n) < 0.5, mask=missing[1]),
            "price": pa.array(price, mask=missing[2]),
            "age": pa.array(rng.integers(18, 80, n), mask=missing[3]),
            "shown": pa.array(
                np.datetime64("2024-01-01T00:00:00", "us")
                + rng.integers(0, 10**7, n).astype("timedelta64[s]")
            ),
            "tags": pa.array(tags),
            "click": pa.array(click.astype(np.int64)),
            "like": pa.array(like.astype(float), mask=missing[4]),
            "weight": pa.array(rng.integers(0, 4, n).astype(float)),
        }
    )


FEATURES = ["user_id", "item", "device", "member", "price", "age", "shown", "tags"]
TASKS = ["click", "like"]


def parquet(table, folder, n_groups=1):
    """A dataset of one file with so many row groups."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{n_groups}.parquet"
    pq.write_table(table, path, row_group_size=-(-len(table) // n_groups))
    return ds.dataset(path)
