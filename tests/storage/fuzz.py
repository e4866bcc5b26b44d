"""Loads damaged and hostile files in a process with little memory, and counts.

    python tests/storage/fuzz.py --mutations 20000

Each mutation of a valid file loads to the same predictions or raises ModelFileError.
Where values are edited and all sums made right again, the file may be a valid one of
another model, which predicts otherwise or refuses these rows by a ValueError. Nothing
else is raised, nothing written, and no more than a gibibyte of memory is taken.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
MEMORY = 2**30


# ------------------------------------------------------------------- without right sums


def flip(content, rng):
    """One to eight bits."""
    content = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 9)):
        content[place] ^= 1 << rng.integers(8)
    return content


def cut(content, rng):
    """A piece of the file, from the beginning or the end or both."""
    start, stop = sorted(rng.integers(0, len(content) + 1, 2))
    return content[start:stop] if rng.random() < 0.3 else content[:stop]


def overwrite(content, rng):
    """Random bytes, or zeros, or ones, over a stretch."""
    start = rng.integers(len(content))
    length = int(min(len(content) - start, rng.integers(1, 400)))
    new = [rng.bytes(length), bytes(length), b"\xff" * length][rng.integers(3)]
    return content[:start] + new + content[start + length :]


def move(content, rng):
    """Bytes taken out, repeated, or put elsewhere."""
    a, b, c = sorted(rng.integers(0, len(content), 3))
    return [
        content[:a] + content[b:],
        content[:b] + content[a:b] + content[b:],
        content[:a] + content[b:c] + content[a:b] + content[c:],
    ][rng.integers(3)]


def exchange(content, rng):
    """Two members in each other's place, as another program would write them."""
    members = members_of(content)
    one, other = rng.choice(list(members), 2)
    members[one], members[other] = members[other], members[one]
    return zipped(members)


# ------------------------------------------------------------------- with right sums

HOSTILE = [
    *(None, True, -1, 0, 1, 3, 2**31, 2**60, 2**63, -(2**70), 1e308, -1e-3, "", "x"),
    *([], {}, [[]], [1, 2], "../../x", "os.system", {"$array": "x"}, {"$int": "0x1"}),
    *({"$object": ["os.system", "true"]}, {"$float": "nan"}, {"$tuple": []}),
    *({"$text": ["x", "y"]}, {"$numpy": ["|O", "00"]}, {"$dict": [[1, 2]]}),
    *({"$object": ["FittedModel", {}]}, {"$object": ["dephn_sk.FieldEncoder", {}]}),
    *({"$range": [0, 2**62, 1]}, {"$bytes": []}, {"$random_state": {}}, "\ud800"),
]


def places(tree, path=()):
    """Every path within a tree of JSON."""
    yield path
    if isinstance(tree, dict):
        for key in tree:
            yield from places(tree[key], (*path, key))
    elif isinstance(tree, list):
        for i, one in enumerate(tree):
            yield from places(one, (*path, i))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def edit(manifest, members, rng):
    """A value replaced, removed, repeated, or exchanged with another."""
    paths = [p for p in places(manifest["model"], ("model",)) if len(p) > 1]
    for _ in range(rng.integers(1, 4)):
        *path, key = paths[rng.integers(len(paths))]
        *other_path, other = paths[rng.integers(len(paths))]
        try:
            where = at(manifest, path)
            kind = rng.integers(4)
            if kind == 0:
                where[key] = copy.deepcopy(HOSTILE[rng.integers(len(HOSTILE))])
            elif kind == 1:
                del where[key]
            elif kind == 2:
                where[key] = copy.deepcopy(at(manifest, other_path)[other])
            elif isinstance(where, list):
                where.append(copy.deepcopy(where[key]))
            else:
                where[str(key) + "x"] = where.pop(key)
        except (KeyError, IndexError, TypeError):
            continue  # the place is gone


def number(manifest, members, rng):
    """A number, text or truth that is another of its type."""
    leaves = [
        p
        for p in places(manifest["model"], ("model",))
        if isinstance(at(manifest, p), (int, float, str)) and len(p) > 1
    ]
    *path, key = leaves[rng.integers(len(leaves))]
    where, value = at(manifest, path), at(manifest, path)[key]
    if isinstance(value, bool):
        where[key] = not value
    elif isinstance(value, int):
        where[key] = [value + 1, value - 1, -value, 2**40, 10**9][rng.integers(5)]
    elif isinstance(value, float):
        where[key] = [value * 2, -value, 0.0, 1e300, 1e-300][rng.integers(5)]
    else:
        where[key] = [value + "x", value[:-1], value[::-1]][rng.integers(3)]


def numbers(manifest, members, rng):
    """Entries of an array that are others, NaN and codes beyond the table included."""
    name = rng.choice(list(manifest["parts"]))
    content = bytearray(members[f"arrays/{name}.npy"])
    start = 10 + int.from_bytes(content[8:10], "little")
    if len(content) <= start:
        return
    dtype = np.dtype(manifest["parts"][name]["dtype"])
    array = np.frombuffer(content[start:], dtype).copy()
    place = rng.integers(len(array))
    if dtype.kind == "f":
        array[place] = [np.nan, np.inf, -1.0, 0.0, 1e30][rng.integers(5)]
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        last = min(len(array), int(info.max))
        array[place] = [info.max, info.min, 0, last, 1][rng.integers(5)]
    else:
        array.view(np.uint8)[rng.integers(array.nbytes)] = rng.integers(256)
    content[start:] = array.tobytes()
    members[f"arrays/{name}.npy"] = bytes(content)


def shape(manifest, members, rng):
    """Another dtype, or a shape of another size, also in the header of the array."""
    name = rng.choice(list(manifest["parts"]))
    part, member = manifest["parts"][name], f"arrays/{name}.npy"
    content = members[member]
    dtypes = ["<f4", "<f8", "<i8", "|u1", "|b1", "|O", "<U9", "|V8", "<M8[us]", "<U0"]
    sizes = [0, 1, 2, 3, 2**31, 2**60, 2**63, -1, 1.5, True, "3"]
    if rng.random() < 0.5:
        part["dtype"] = str(rng.choice(dtypes))
    else:
        n = rng.integers(0, 4)
        part["shape"] = [sizes[i] for i in rng.integers(0, len(sizes), n)]
    if rng.random() < 0.7:
        from dephn_sk.storage._archive import _array_header

        start = 10 + int.from_bytes(content[8:10], "little")
        try:
            header = _array_header(part["dtype"], tuple(part["shape"]))
        except (ValueError, TypeError):
            return
        members[member] = header + content[start:]


def swap(manifest, members, rng):
    """Two parts, with their dtypes and shapes or without."""
    one, other = rng.choice(list(manifest["parts"]), 2)
    names = f"arrays/{one}.npy", f"arrays/{other}.npy"
    members[names[0]], members[names[1]] = members[names[1]], members[names[0]]
    if rng.random() < 0.7:
        parts = manifest["parts"]
        parts[one], parts[other] = parts[other], parts[one]


def rename(manifest, members, rng):
    """A part that is missing, that nobody wants, or whose name is a path."""
    name = str(rng.choice(list(manifest["parts"])))
    new = ["../x", "/etc/x", "a/b", "", "x" * 300, "x", name.upper()][rng.integers(7)]
    kind = rng.integers(3)
    content = members[f"arrays/{name}.npy"]
    if kind == 0:
        del manifest["parts"][name], members[f"arrays/{name}.npy"]
    else:
        manifest["parts"][new] = manifest["parts"][name]
        members[f"arrays/{new}.npy"] = content
        if kind == 1:
            del manifest["parts"][name], members[f"arrays/{name}.npy"]


def head(manifest, members, rng):
    """What stands beside the model."""
    key = rng.choice(["format", "kind", "versions", "model", "parts", "texts"])
    if rng.random() < 0.3:
        manifest.pop(key)
    else:
        manifest[key] = HOSTILE[rng.integers(len(HOSTILE))]


BYTES = [flip, cut, overwrite, move, exchange]
VALUES = [edit, number, numbers, shape, swap, rename, head]


# ------------------------------------------------------------------- the file


def members_of(content):
    import io

    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(members):
    """Members as the library writes them, every header and sum of the zip right."""
    from dephn_sk.storage import _archive

    written, entries = b"", []
    for name, content in members.items():
        entry = _archive._Member(name, len(content), zlib.crc32(content), len(written))
        entries.append(entry)
        written += entry.local() + content
    return written + _archive._ending(entries)


def mutated(content, rng):
    """A mutation, what it was, and whether sums are right."""
    if rng.random() < 0.4:
        how = BYTES[rng.integers(len(BYTES))]
        return bytes(how(content, rng)), how.__name__, False
    from dephn_sk.storage._archive import _json

    members = members_of(content)
    manifest = json.loads(members["manifest.json"])
    how = VALUES[rng.integers(len(VALUES))]
    how(manifest, members, rng)
    if isinstance(parts := manifest.get("parts"), dict):
        for name, part in parts.items():
            if isinstance(part, dict) and f"arrays/{name}.npy" in members:
                part["sha256"] = sha256(members[f"arrays/{name}.npy"]).hexdigest()
    members["manifest.json"] = _json(manifest).encode()
    return zipped(members), how.__name__, True


# ------------------------------------------------------------------- the process


def limit_memory():
    """What the process may take from now on; nothing where the system has no limit."""
    try:
        import resource
    except ImportError:
        return
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def folder_state(folder):
    return sorted((one.name, one.stat().st_size) for one in folder.rglob("*"))


def outcome(path, wanted, table, right_sums, mmap):
    """What loading a file comes to; whatever else is raised ends the run."""
    import dephn_sk
    from dephn_sk.storage import ModelFileError

    try:
        model = dephn_sk.load(path, mmap=mmap)
    except ModelFileError as error:
        while error is not None:  # it was not memory that there was too little of
            words = repr(error).casefold()
            assert "memory" not in words.replace("memoryview", ""), words
            assert "alloc" not in words, words
            error = error.__cause__ or error.__context__
        return "refused"
    try:
        found = model.predict_proba(table)
    except ValueError:  # of a column that the other model has learned otherwise
        assert right_sums, "another model without right sums"
        return "another model"
    if np.array_equal(found, wanted):
        return "same predictions"
    assert right_sums, "another model without right sums"
    return "another model"


def run(mutations, seed, verbose=False):
    """Counts of outcomes by kind of mutation."""
    import torch
    from _models import encoder, labels, small, table

    import dephn_sk

    torch.set_num_threads(1)
    X = table()
    model = small(
        dephn_sk.DEPHNMultiTaskClassifier,
        encoder=encoder(),
        public_experts=("dnn", "cross"),
        private_experts=("field",),
        selection="soft",
        numeric_embedding="linear+bins",
        n_bins=4,
    ).fit(X, labels())
    counts: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        contents = []
        for training in (False, True):
            model.save(path, training=training)
            contents.append(path.read_bytes())
        wanted = model.predict_proba(X)
        os.chdir(folder)
        limit_memory()
        warnings.simplefilter("ignore")
        for i in range(mutations):
            rng = np.random.default_rng((seed, i))
            content, how, right = mutated(contents[i % 2], rng)
            path.write_bytes(content)
            before = folder_state(Path(folder))
            try:
                found = outcome(path, wanted, X, right, mmap=rng.random() < 0.1)
            except BaseException:
                print(f"mutation {i} of seed {seed}: {how}", flush=True)
                raise
            assert folder_state(Path(folder)) == before, f"{how} {i} has written"
            counts[how, found] += 1
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts = run(given.mutations, given.seed)
    for (how, found), n in sorted(counts.items()):
        print(f"{how:10} {found:18} {n:6}")
    total = Counter()
    for (_, found), n in counts.items():
        total[found] += n
    print(f"{sum(total.values())} mutations: {dict(total)}")


if __name__ == "__main__":
    main()
