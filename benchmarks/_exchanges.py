"""How many bytes a rank hands over to the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from dephn_sk.training import _ranks


@contextmanager
def handed_over() -> Iterator[Counter]:
    """Bytes that this rank gives to exchanges of numbers, and their "calls".

    "summed" are added up over all ranks, "for all" are seen by all others, and those
    "for one" by one of them each.
    """
    given: Counter = Counter()
    group, kinds = _ranks.Group, {"add": "summed", "dealt": "for one"}
    kinds |= {"gathered": "for all", "everyones": "for all"}

    def counted(name):
        call, kind = getattr(group, name), kinds[name]

        def count(ranks, own, *how):
            lines = how[0] if name == "gathered" else len(own)
            given["calls"] += 1
            given[kind] += lines * own[:1].nbytes if own.dim() else own.nbytes
            return call(ranks, own, *how)

        return count

    with mock.patch.multiple(group, **{name: counted(name) for name in kinds}):
        yield given
