"""What several processes that train one model together say to each other."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..nn import Share
from . import _gradients

T = TypeVar("T")

TIMEOUT, TIMEOUT_VARIABLE = 600.0, "DEPHN_SK_TIMEOUT"
# what torchrun gives each process that it starts
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# seconds in which those that are left say so: at most, and after the last that has
GRACE, QUIET = 5.0, 2.0
LONGEST = 2_000  # characters of what went wrong elsewhere


class RankError(RuntimeError):
    """One of several processes has ended or differs, and so all of them end.

    Parameters
    ----------
    message : str
        Which rank it is, and what has happened to it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Ranks:
    """Processes that train together; this class is one that is alone.

    Attributes
    ----------
    rank, size : int
        Which one this is, counted from 0, and of how many.
    share : Share or None
        The rows of a batch that this process has, where it has not all.
    place : dict
        The same, as :meth:`Source.batches` takes it.
    """

    rank = 0
    size = 1
    share: Share | None = None
    place: Mapping[str, int] = {}

    @classmethod
    def here(cls) -> Ranks:
        """The processes that this one belongs to; for a ``with`` statement.

        They are those of torch's initialized default group, or those that the variables
        of ``torchrun`` tell of. Nothing is said between them within another fit, under
        :func:`one_process`, and in processes that joblib or multiprocessing has started
        and that have initialized no group themselves.

        Raises
        ------
        ValueError
            For a variable that is no number.
        RankError
            Where not all of them come within the timeout.
        """
        if _switch.alone or not dist.is_available():
            return NONE
        theirs = dist.is_initialized() and not _switch.inherited
        if theirs:
            return Group(_timeout()) if dist.get_world_size() > 1 else NONE
        started = multiprocessing.current_process().name == "MainProcess"
        if not started or not all(name in os.environ for name in VARIABLES):
            return NONE
        if _number("WORLD_SIZE") < 2:
            return NONE
        return Group(_timeout(), own=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Where an error ends this process, let the others know it, and end, too."""

    # ------------------------------------------------------------ words

    def all(self, value: T) -> list[T]:
        """A value of each rank, in their order; it is pickled."""
        return [value]

    def first(self, call: Callable[[], T]) -> T:
        """What rank 0 gets from a call, which the others do not make."""
        return call()

    def agreed(self, call: Callable[[], T]) -> T:
        """What each gets from its own call, once all of them have got something.

        Where one raises, all do: its own error there, a RankError with the rank and the
        cause elsewhere.
        """
        value = call()
        self.all(None)
        return value

    def alike(self, tell: Callable[[], Mapping[str, str]]) -> None:
        """Raise where what the ranks tell by name differs, with the names."""

    # ------------------------------------------------------------ numbers

    def on(self, device: torch.device) -> None:
        """Get ready to exchange what is on a device."""

    def begin_batch(self, n_rows: int) -> None:
        """A batch of so many rows comes, of which this rank has its share."""

    def part(self, penalty: Tensor | None) -> Tensor | None:
        """What this rank adds of a penalty that is the same for each row."""
        return penalty

    def whole(self, *tensors: Tensor | None) -> tuple[Any, ...]:
        """Rows of the whole batch, of tensors that hold this rank's.

        Those of others are constants to a gradient.

        Parameters
        ----------
        *tensors : Tensor of shape (..., n_own_rows, k), or None
            One with an axis less than the first is of shape (..., n_own_rows).
        """
        return tensors

    def sum_gradients(
        self, network: Any, criterion: Any, divided: bool = False
    ) -> None:
        """Let each rank have the gradients of the whole batch.

        Those of large tables alone that are its own, where these are `divided`.
        """

    def share_rows(self, network: Any) -> None:
        """Let each rank have the rows of divided tables that others have stepped."""

    def gather_lines(self, tensors: list[Tensor]) -> None:
        """Let each rank have the lines of others, of tensors of divided tables."""

    def own_blocks(self, n_rows: int) -> Iterator[slice]:
        """The rows of a divided table that this rank steps."""
        yield slice(0, n_rows)


NONE = Ranks()


class _Switch:
    """Whether this process is to be by itself."""

    alone = 0
    inherited = False  # a group of the process that this one was forked off
    n_fits = 0
    store: Any = None


_switch = _Switch()


def _after_fork() -> None:
    _switch.inherited = dist.is_available() and dist.is_initialized()
    _switch.store = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def one_process() -> Iterator[None]:
    """Within it, this process fits by itself, although it is one of several.

    So it has to be where ranks fit different models, such as the candidates of a
    search that are divided among them. It holds for all threads of the process.

    Returns
    -------
    context manager

    Examples
    --------
    >>> with one_process():
    ...     Ranks.here() is NONE
    True
    """
    _switch.alone += 1
    try:
        yield
    finally:
        _switch.alone -= 1


def _number(name: str) -> int:
    try:
        return int(os.environ[name])
    except ValueError:
        raise ValueError(
            f"The variable {name}={os.environ[name]!r} must be a whole number; "
            "torchrun sets it. Unset it to fit in one process."
        ) from None


def _timeout() -> float:
    """Seconds after which a rank that is silent counts as lost."""
    given = os.environ.get(TIMEOUT_VARIABLE)
    with contextlib.suppress(ValueError):
        if given is None or 0 < float(given) < float("inf"):
            return TIMEOUT if given is None else float(given)
    raise ValueError(
        f"The variable {TIMEOUT_VARIABLE}={given!r} must be a number of seconds above "
        "0, after which a process that is silent counts as lost."
    )


class Group(Ranks):
    """The ranks of a torch process group, one of ours or somebody else's.

    Whatever ends a rank is written to the group's store, and its connections are
    closed. The others, whose exchange then fails, read there who it was. A rank that
    was killed writes nothing: it is the one that is missing when all others have
    written that they are there.

    Parameters
    ----------
    timeout : float
        Seconds.
    own : bool, default=False
        Whether the group is made of torchrun's variables, for this fit alone.
    """

    def __init__(self, timeout: float, own: bool = False) -> None:
        self._grace = min(GRACE, timeout / 4)
        self._timeout = timedelta(seconds=timeout - self._grace)
        self._own = own
        _switch.n_fits += 1
        self._key = f"dephn_sk/{_switch.n_fits}"
        self.rank, self.size = 0, 0
        self._open()
        self.share = Share(self.rank, self.size)
        self.place = {"rank": self.rank, "world_size": self.size}
        self._quiet = warnings.catch_warnings()
        if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
            torch.cuda.set_device(_number("LOCAL_RANK") % torch.cuda.device_count())

    def _open(self) -> None:
        from torch.distributed.distributed_c10d import PrefixStore

        group: Any = None
        try:
            if self._own:
                dist.init_process_group(
                    "gloo",
                    store=PrefixStore(self._key, self._rendezvous()),
                    rank=_number("RANK"),
                    world_size=_number("WORLD_SIZE"),
                    timeout=self._timeout,
                )
            else:
                group = dist.new_group(backend="gloo", timeout=self._timeout)
        except (RuntimeError, ValueError) as error:
            raise RankError(
                f"Not all ranks have come to this fit within {self._seconds:g} s "
                f"({_first_line(error)}). Each has to call it, with the same "
                f"arguments; {TIMEOUT_VARIABLE} is the limit in seconds."
            ) from None
        self._group = self._fast = group or dist.group.WORLD
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        # torch has no public name for the store of the default group
        self._store = dist.distributed_c10d._get_default_store()

    @property
    def _seconds(self) -> float:
        return self._timeout.total_seconds() + self._grace

    def _rendezvous(self) -> Any:
        """Where the processes find each other: opened once, for all fits."""
        if _switch.store is None:
            from torch.distributed.rendezvous import rendezvous

            found = rendezvous("env://", timeout=self._timeout)
            _switch.store = next(iter(found))[0]
        return _switch.store

    # ------------------------------------------------------------ the end

    def __enter__(self) -> Self:
        _switch.alone += 1  # a callback may fit another model
        self._quiet.__enter__()
        if self.rank:
            warnings.simplefilter("ignore")  # rank 0 says the same
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._quiet.__exit__(kind, error, trace)
        _switch.alone -= 1
        if error is not None and not isinstance(error, RankError):
            self._tell((isinstance(error, KeyboardInterrupt), _described(error)))
        self._close()

    def _tell(self, word: Any) -> None:
        with contextlib.suppress(RuntimeError):
            self._store.set(f"{self._key}/end/{self.rank}", json.dumps(word))

    def _close(self) -> None:
        """Close connections, so that whoever waits for this rank waits no more."""
        groups = {self._group, self._fast} - {None}
        self._group = self._fast = None
        with contextlib.suppress(RuntimeError):
            if self._own and groups:
                dist.destroy_process_group()
            while groups and not self._own:
                dist.destroy_process_group(groups.pop())

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Make errors of an exchange tell whose fault they are."""
        try:
            yield
        except RuntimeError as error:
            # frames hold the group, which closes when nothing does
            traceback.clear_frames(error.__traceback__)
            reason = _first_line(error)
        else:
            return
        self._tell(None)
        self._close()
        raise self._lost(reason)

    def _lost(self, reason: str) -> BaseException:
        words, answers = self._words()
        for rank, word in sorted(words.items()):
            if word is not None:
                interrupted, what = word
                if interrupted:
                    return KeyboardInterrupt(f"Rank {rank} was interrupted.")
                return RankError(f"Rank {rank} of {self.size} has failed: {what}")
        lost = sorted({*range(self.size)} - words.keys())
        if not answers:
            lost = [0] if self.rank else []
        if not lost:
            return RankError(
                f"The {self.size} ranks have not come to the same exchange within "
                f"{self._seconds:g} s ({reason}). {TIMEOUT_VARIABLE} is the limit."
            )
        ranks = f"Rank{'s'[: len(lost) > 1]} {', '.join(map(str, lost))} of {self.size}"
        return RankError(
            f"{ranks} no longer answer{'s'[: len(lost) < 2]}: killed, stopped, or on a "
            f"machine that is lost ({reason}). With `checkpoint`, the same call goes "
            "on from the last state, with any number of ranks."
        )

    def _words(self) -> tuple[dict[int, Any], bool]:
        """What others have written at their end, and whether the store answers."""
        words: dict[int, Any] = {self.rank: None}
        start = last = time.monotonic()
        try:
            while len(words) < self.size and not any(words.values()):
                for rank in {*range(self.size)} - words.keys():
                    key = f"{self._key}/end/{rank}"
                    if self._store.check([key]):
                        words[rank] = json.loads(self._store.get(key))
                        last = time.monotonic()
                now = time.monotonic()
                if now > min(start + self._grace, last + QUIET):
                    break
                time.sleep(0.02)
        except RuntimeError:
            return words, False  # it was rank 0's
        return words, True

    # ------------------------------------------------------------ words

    def all(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.size
        with self._speaking():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def first(self, call: Callable[[], T]) -> T:
        value = [call() if self.rank == 0 else None]
        with self._speaking():
            dist.broadcast_object_list(value, src=0, group=self._group)
        return value[0]  # type: ignore[return-value]

    def alike(self, tell: Callable[[], Mapping[str, str]]) -> None:
        told = self.all(dict(tell()))
        for rank, words in enumerate(told):
            names = {**told[0], **words}
            other = [name for name in names if words.get(name) != told[0].get(name)]
            if other:
                raise RankError(
                    f"Rank {rank} of {self.size} was given something else than rank 0: "
                    f"{'; '.join(_shown(n, told[0], words) for n in other)}. Each rank "
                    "has to call fit with the same parameters and the same rows."
                )

    # ------------------------------------------------------------ numbers

    def on(self, device: torch.device) -> None:
        if device.type not in ("cpu", "cuda"):
            raise ValueError(
                f"device={device.type!r} cannot be used by several processes; give "
                "'cpu' or 'cuda'."
            )
        several = os.environ.get("LOCAL_WORLD_SIZE", str(self.size))
        each = device.type == "cuda" and int(several) <= torch.cuda.device_count()
        if all(self.all(each and dist.is_nccl_available())) and self._fast is not None:
            # so that a rank which is silent is an error and does not end the process
            os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
            with self._speaking():
                self._fast = dist.new_group(backend="nccl", timeout=self._timeout)

    def begin_batch(self, n_rows: int) -> None:
        assert self.share is not None
        self.share.n_rows = n_rows

    def part(self, penalty: Tensor | None) -> Tensor | None:
        share = self.share
        if penalty is None or share is None or not share.n_own:
            return None
        return penalty * (share.n_own / share.n_rows)

    def whole(self, *tensors: Tensor | None) -> tuple[Any, ...]:
        share, first = self.share, tensors[0]
        assert share is not None and first is not None
        rows = [None if t is None else _rows_first(t, first.dim()) for t in tensors]
        own = [_as_bytes(t) for t in rows if t is not None]
        packed = self.gathered(torch.cat(own, 1), -(-share.n_rows // self.size))
        # rank r has the rows r, r + size, ...: what is filled up comes last of all
        packed = packed.transpose(0, 1).flatten(0, 1)[: share.n_rows]
        parts = iter(packed.split([t.shape[1] for t in own], 1))
        return tuple(
            None
            if t is None or r is None
            else self._put(next(parts), t, r, first.dim())
            for t, r in zip(tensors, rows, strict=True)
        )

    def gathered(self, own: Tensor, most: int) -> Tensor:
        """Lines of each rank, filled up to so many: (size, most, ...)."""
        assert len(own) <= most
        filled = own if len(own) == most else own.new_zeros(most, *own.shape[1:])
        filled[: len(own)] = own
        everyone = own.new_empty(self.size, most, *own.shape[1:])
        with self._speaking():
            dist.all_gather(list(everyone.unbind(0)), filled, group=self._fast)
        return everyone

    def _put(self, packed: Tensor, own: Tensor, rows: Tensor, n_axes: int) -> Tensor:
        """The whole of a tensor, from its bytes, with this rank's own rows in it."""
        share = self.share
        assert share is not None
        # a copy, in memory that begins where any dtype may begin
        whole = packed.clone(memory_format=torch.contiguous_format).view(rows.dtype)
        whole = whole.view(-1, *rows.shape[1:])
        if own.requires_grad:
            whole[self.rank :: self.size] = rows
        return whole.movedim(0, -2) if own.dim() == n_axes else whole.movedim(0, -1)

    def everyones(self, own: Tensor, n_lines: list[int]) -> Tensor:
        """Lines of all ranks in their order, of which each has so many."""
        group = self._fast
        assert group is not None
        found = own.new_empty(sum(n_lines), *own.shape[1:])
        parts = found.split(n_lines)
        parts[self.rank].copy_(own)
        # gloo takes a fifth of the time of its all_gather, which wants equal numbers
        with self._speaking():
            sent = [
                dist.broadcast(part, dist.get_global_rank(group, i), group, True)
                for i, part in enumerate(parts)
                if len(part)
            ]
            for one in sent:
                one.wait()
        return found

    def dealt(self, own: Tensor, n_lines: list[list[int]]) -> Tensor:
        """Lines that all ranks have for this one, in their order.

        Rank i has ``n_lines[i][j]`` lines for rank j, in the order of these.
        """
        theirs = [of_rank[self.rank] for of_rank in n_lines]
        found = own.new_empty(sum(theirs), *own.shape[1:])
        with self._speaking():
            dist.all_to_all_single(
                found, own.contiguous(), theirs, n_lines[self.rank], group=self._fast
            )
        return found

    def sum_gradients(
        self, network: Any, criterion: Any, divided: bool = False
    ) -> None:
        _gradients.sum_gradients(self, network, criterion, divided)

    def share_rows(self, network: Any) -> None:
        _gradients.share_rows(self, network)

    def gather_lines(self, tensors: list[Tensor]) -> None:
        _gradients.gather_lines(self, tensors)

    def own_blocks(self, n_rows: int) -> Iterator[slice]:
        return _gradients.own_blocks(self, n_rows)

    def add(self, tensor: Tensor) -> None:
        """Let a tensor be the sum of those of all ranks."""
        with self._speaking():
            dist.all_reduce(tensor, group=self._fast)


def _rows_first(tensor: Tensor, n_axes: int) -> Tensor:
    return tensor.movedim(-2 if tensor.dim() == n_axes else -1, 0)


def _as_bytes(rows: Tensor) -> Tensor:
    """(n_rows, n_bytes), of any dtype."""
    flat = rows.detach().unsqueeze(-1).flatten(1)
    return flat.contiguous().view(torch.uint8)


def _described(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _first_line(error: BaseException) -> str:
    """What torch says of an exchange, without a place in its source and guesses."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\[\S*\] ", "", line).split(". This is", 1)[0]


def _shown(name: str, first: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What differs, with both values where they are short enough to be read."""
    values = first.get(name, "none"), other.get(name, "none")
    if max(map(len, values)) > 60 or set(map(len, values)) == {64}:
        return name
    return f"{name} ({values[1]} there, {values[0]} on rank 0)"
