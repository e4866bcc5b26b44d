"""One file of arrays and texts: a zip of one form only, checked before it is read.

The form is that of :func:`write`: members stored as they are, back to back, their data
at multiples of 64 bytes, then the directory and nothing more. A reader builds each
header anew from a name, a size and a sum, and compares bytes. So there is nothing in a
file that is not looked at: no member twice, within another, or beyond the end, no flag,
link, comment, or compression, and nothing before, between or after the members.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import mmap as memory_map
import os
import re
import secrets
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1  # raised where an older version would misread what is written
MANIFEST = "manifest.json"
_TEXT_BYTES = 2**25  # of each text: JSON takes twenty times that in memory
_MEMBERS = 2**17
_MAPPED_BYTES = 2**20  # smaller arrays are read, and checked, even where others are not
_ALIGNMENT = 64  # as numpy's format asks
_CHUNK = 2**24
_SHORT, _LONG = 2**16 - 1, 2**32 - 1  # what says that zip64 has the number
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}")
_DTYPE = re.compile(
    r"[<>|](b1|[iu][1248]|f[248]|c8|c16|[US][1-9][0-9]*|[Mm]8(\[.+\])?)"
)


def holds(dtype: np.dtype) -> bool:
    """Whether arrays of a dtype can be in a file: no objects, no records."""
    return bool(_DTYPE.fullmatch(dtype.str)) and not dtype.hasobject


class ModelFileError(ValueError):
    """A file that is not as it was written, or holds what is not taken from a file.

    Parameters
    ----------
    message : str
        Which part, and what is wrong with it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class NewerFormatError(ModelFileError):
    """A file of a format that a later version of this library writes."""


# ------------------------------------------------------------------------ writing


def write(
    path: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    parts: Mapping[str, NDArray],
    texts: Mapping[str, str],
) -> None:
    """Write a file, or leave what is there as it was.

    The file appears under its name when all of it is on the disk. Whatever is raised
    before that, the one before stays, and nothing else is left.

    Parameters
    ----------
    path : str or PathLike
        Where to; a file that is there is replaced, and a link followed.
    manifest : dict
        JSON values. The format's version, and the sizes and sums of all else, are
        added under ``"format"``, ``"parts"`` and ``"texts"``.
    parts : dict of str to ndarray
        By name: letters, digits, ``_``, ``.`` and ``-``. Of any dtype but objects,
        records, and what differs between machines.
    texts : dict of str to str
        Further files for people, such as ``"README.md"``.

    Raises
    ------
    ValueError
        For what cannot be stored; the message names it.
    """
    contents = {name: [_encoded(name, text)] for name, text in texts.items()}
    contents |= {_member_name(n): _array_pieces(n, one) for n, one in parts.items()}
    described = {
        name: {"dtype": one.dtype.str, "shape": list(one.shape)}
        for name, one in parts.items()
    }

    def manifest_of(sums: Mapping[str, str]) -> list[Any]:
        listed = {n: {**one, "sha256": sums[n]} for n, one in described.items()}
        lists = {"parts": listed, "texts": {name: sums[name] for name in texts}}
        document = _json({"format": FORMAT, **manifest, **lists})
        return [_encoded(MANIFEST, document)]

    # sums are of one length, so that places are known before them
    blank = manifest_of(dict.fromkeys([*texts, *parts], "0" * 64))
    contents = {MANIFEST: blank} | contents
    _check_names([*texts, *parts], contents)
    names = {name: name for name in texts} | {n: _member_name(n) for n in parts}
    with _replacing(Path(path)) as file:
        found = _write_contents(file, contents)
        first = manifest_of({name: found[one][0] for name, one in names.items()})
        found[MANIFEST] = _sums(first)
        members = [replace(m, crc=found[m.name][1]) for m in _laid_out(contents)]
        for member in members:
            _write_at(file, member.offset, [member.local()])
        _write_at(file, members[0].start, first)
        _write_at(file, members[-1].stop, [_ending(members)])


def _write_contents(
    file: FileIO, contents: Mapping[str, Sequence[Any]]
) -> dict[str, tuple[str, int]]:
    """Write what stands between headers, and give sums, made meanwhile if large."""
    members = _laid_out(contents)
    large = [member.name for member in members if member.size > _CHUNK]
    with ThreadPoolExecutor(2) as pool:
        summed = {name: pool.submit(_sums, contents[name]) for name in large}
        for member in members[1:]:
            _write_at(file, member.start, contents[member.name])
        return {
            name: summed[name].result() if name in summed else _sums(one)
            for name, one in contents.items()
        }


def _laid_out(contents: Mapping[str, Sequence[Any]]) -> list[_Member]:
    """The members one after the other, without their check sums."""
    members: list[_Member] = []
    for name, pieces in contents.items():
        start = members[-1].stop if members else 0
        members.append(_Member(name, sum(map(_size, pieces)), 0, start))
    return members


def _encoded(name: str, text: str) -> bytes:
    encoded = text.encode("utf-8")
    if len(encoded) > _TEXT_BYTES:
        raise ValueError(
            f"{name} takes {len(encoded):,} bytes, more than the {_TEXT_BYTES:,} that "
            "are read. Large lists belong into arrays."
        )
    return encoded


def _json(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _member_name(part: str) -> str:
    return f"arrays/{part}.npy"


def _array_pieces(name: str, array: NDArray) -> list[Any]:
    """An array in numpy's format: a header, and the memory of its numbers."""
    if not holds(array.dtype):
        raise ValueError(
            f"{name} is an array of {array.dtype}, which cannot be stored. Give "
            "numbers, booleans, text or dates."
        )
    flat = np.asarray(array, order="C").reshape(-1)
    return [_array_header(array.dtype.str, array.shape), flat.view(np.uint8).data]


def _array_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The header of numpy's format 1.0, as long as a multiple of the alignment."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    length = -(-(10 + len(text) + 1) // _ALIGNMENT) * _ALIGNMENT - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + _padded(text, length)


def _padded(text: str, length: int) -> bytes:
    return text.ljust(length - 1).encode("ascii") + b"\n"


def _sums(pieces: Sequence[Any]) -> tuple[str, int]:
    """SHA-256, and the check sum of zip."""
    total, crc = sha256(), 0
    for piece in pieces:
        total.update(piece)
        crc = zlib.crc32(piece, crc)
    return total.hexdigest(), crc


def _size(piece: Any) -> int:
    return memoryview(piece).nbytes


def _write_at(file: FileIO, place: int, pieces: Sequence[Any]) -> None:
    file.seek(place)
    for piece in pieces:
        left = memoryview(piece)
        while left:
            left = left[file.write(left[:_CHUNK]) :]


def _check_names(own: Sequence[str], members: Mapping[str, Any]) -> None:
    """Refuse names that a folder could not hold, or not on every machine."""
    for name in own:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a part.")
    if len({name.casefold() for name in members}) < 1 + len(own):
        raise ValueError(f"Two parts have one name: {sorted(members)}.")
    if len(members) > _MEMBERS:
        raise ValueError(f"{len(members):,} parts are more than {_MEMBERS:,}.")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[FileIO]:
    """A file beside the one of that name, whose place it takes at the end."""
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():  # the name beside it would mean nothing to anybody
        raise FileNotFoundError(
            errno.ENOENT,
            "There is no folder to write into; make it first",
            str(path.parent),
        )
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb", buffering=0) as file:
            yield file
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    if os.name != "nt":
        # the folder's entry; some network file systems refuse, and need not be asked
        with contextlib.suppress(OSError):
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


# ------------------------------------------------------------------------ the form


@dataclass(frozen=True)
class _Member:
    """One file within: its name, size, check sum, and where its header begins."""

    name: str
    size: int
    crc: int
    offset: int

    def local(self) -> bytes:
        """What stands before its data, which begin at a multiple of the alignment."""
        extra = struct.pack("<2H2Q", 1, 16, self.size, self.size) * self._is_large
        fixed = self.offset + _LOCAL.size + len(self.name) + len(extra) + 4
        padding = bytes(-fixed % _ALIGNMENT)
        extra += struct.pack("<2H", 0xD935, len(padding)) + padding  # as zipalign's
        head = b"PK\3\4", *self._common, len(self.name), len(extra)
        return _LOCAL.pack(*head) + self.name.encode("ascii") + extra

    def central(self) -> bytes:
        """Its entry in the directory."""
        wide = [self.size, self.size] * self._is_large
        wide += [self.offset] * (self.offset >= _LONG)
        extra = (
            struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        )
        unix_file = (stat.S_IFREG | 0o644) << 16
        head = b"PK\1\2", 3 << 8 | 45, *self._common, len(self.name), len(extra)
        tail = 0, 0, 0, unix_file, min(self.offset, _LONG)
        return _CENTRAL.pack(*head, *tail) + self.name.encode("ascii") + extra

    @property
    def _is_large(self) -> bool:
        return self.size >= _LONG

    @property
    def _common(self) -> tuple[int, ...]:
        size, midnight, new_year_1980 = min(self.size, _LONG), 0, 0x21
        return 45, 0, 0, midnight, new_year_1980, self.crc, size, size

    @property
    def start(self) -> int:
        """Where its data begin."""
        return self.offset + len(self.local())

    @property
    def stop(self) -> int:
        return self.start + self.size


def _ending(members: Sequence[_Member]) -> bytes:
    """The directory, and what stands at the end of the file."""
    directory = b"".join(member.central() for member in members)
    start, size, n = members[-1].stop, len(directory), len(members)
    ending = directory
    if n >= _SHORT or size >= _LONG or start >= _LONG:
        numbers = _END64.size - 12, 3 << 8 | 45, 45, 0, 0, n, n, size, start
        ending += _END64.pack(b"PK\6\6", *numbers)
        ending += _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    short, long = min(n, _SHORT), (min(size, _LONG), min(start, _LONG))
    return ending + _END.pack(b"PK\5\6", 0, 0, short, short, *long, 0)


# ------------------------------------------------------------------------ reading


def read(
    path: str | os.PathLike[str], *, mmap: bool = False
) -> tuple[dict[str, Any], dict[str, NDArray], dict[str, str]]:
    """Read what :func:`write` wrote, or raise.

    Sizes are compared with that of the file before anything of that size is made.

    Parameters
    ----------
    path : str or PathLike
    mmap : bool, default=False
        Whether arrays of a megabyte and more stay on the disk until they are used.
        They can be written to, which never reaches the file. Their sums are not
        checked, since that would read them.

    Returns
    -------
    manifest : dict
    parts : dict of str to ndarray
    texts : dict of str to str

    Raises
    ------
    ModelFileError
        Where the file is not as it was written; the message names the part.
    OSError
        Where there is no file that can be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise ModelFileError("That is no file.")
    with open(path, "rb", buffering=0) as file:
        members = {member.name: member for member in _read_members(file)}
        manifest = _read_manifest(file, members)
        texts = {
            name: _read_text(file, members[name], sum)
            for name, sum in manifest["texts"].items()
        }
        mapped = _map(file) if mmap else None
        parts = {
            name: _read_array(file, members[_member_name(name)], name, one, mapped)
            for name, one in manifest["parts"].items()
        }
    return manifest, parts, texts


def _read_members(file: FileIO) -> list[_Member]:
    """The members, after every byte of every header has been compared."""
    directory, n, start = _read_directory(file)
    members: list[_Member] = []
    place = 0
    for _ in range(n):
        member = _next_member(directory, place, members[-1].stop if members else 0)
        if member is None or member.stop > start:
            raise ModelFileError("The directory of the file is damaged.")
        place += len(member.central())
        members.append(member)
    size = os.fstat(file.fileno()).st_size
    whole = bool(members) and members[-1].stop == start
    whole = whole and len({member.name for member in members}) == n
    if not whole or _read_at(file, start, size - start) != _ending(members):
        raise ModelFileError("The directory of the file is damaged.")
    for member in members:
        header = member.local()
        if _read_at(file, member.offset, len(header)) != header:
            raise ModelFileError(f"The header of {member.name!r} is damaged.")
    return members


def _read_directory(file: FileIO) -> tuple[bytes, int, int]:
    """The directory, how many members it says it has, and where it begins."""
    size = os.fstat(file.fileno()).st_size
    end = _read_at(file, size - _END.size, _END.size)
    if len(end) < _END.size or end[:4] != b"PK\5\6":
        raise ModelFileError(
            "The file is no model file of dephn_sk, is cut off, or has something after "
            "its end."
        )
    _, _, _, _, n, length, start, _ = _END.unpack(end)
    if n == _SHORT or _LONG in (length, start):
        place = size - _END.size - _LOCATOR.size - _END64.size
        end = _read_at(file, place, _END64.size)
        if len(end) == _END64.size:
            *_, n, length, start = _END64.unpack(end)
    if n > _MEMBERS or start + length > size or length > size:
        raise ModelFileError("The directory of the file is damaged.")
    return _read_at(file, start, length), n, start


def _next_member(directory: bytes, place: int, offset: int) -> _Member | None:
    """The member whose entry stands at a place of the directory; None if none does."""
    if place + _CENTRAL.size > len(directory):
        return None
    entry = _CENTRAL.unpack_from(directory, place)
    crc, size, name_length = entry[7], entry[8], entry[10]
    name_start = place + _CENTRAL.size
    try:
        name = directory[name_start : name_start + name_length].decode("ascii")
        if size == _LONG:
            (size,) = struct.unpack_from("<Q", directory, name_start + name_length + 4)
    except (UnicodeDecodeError, struct.error):
        return None
    member = _Member(name, size, crc, offset)
    written = member.central()
    return member if directory[place : place + len(written)] == written else None


def _read_manifest(file: FileIO, members: Mapping[str, _Member]) -> dict[str, Any]:
    if MANIFEST not in members:
        raise ModelFileError(f"The file holds no {MANIFEST}.")
    member = members[MANIFEST]
    content = _read_small(file, member)
    if zlib.crc32(content) != member.crc:
        raise ModelFileError(f"{MANIFEST} is damaged: its sum is another.")
    try:
        manifest = json.loads(content)
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{MANIFEST} is damaged: {error}") from error
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise NewerFormatError(
            f"The file is of format {version}, and this version of dephn_sk reads "
            f"formats up to {FORMAT}. Load it with a newer version."
        )
    _check_manifest(manifest, content, members)
    return manifest


def _check_manifest(
    manifest: dict[str, Any], content: bytes, members: Mapping[str, _Member]
) -> None:
    """Raise unless it says what it says once, of each member, and in our form."""
    try:
        written = _json(manifest).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{MANIFEST} is damaged: {error}") from error
    if content != written:  # a key twice, a number spelt otherwise
        raise ModelFileError(f"{MANIFEST} is not as it was written.")
    for group in ("parts", "texts"):
        if not isinstance(manifest.get(group), dict):
            raise ModelFileError(f"{MANIFEST} lists no {group}.")
    parts, texts = manifest["parts"], manifest["texts"]
    listed = [MANIFEST, *texts, *map(_member_name, parts)]
    if listed != [*members] or len({name.casefold() for name in listed}) < len(listed):
        odd = sorted({*listed} ^ {*members}) or sorted(listed)
        raise ModelFileError(f"{MANIFEST} and the members of the file differ: {odd}.")
    for name in (*texts, *parts):
        if not _NAME.fullmatch(name):
            raise ModelFileError(f"{name!r} cannot be the name of a part.")


def _read_small(file: FileIO, member: _Member) -> bytes:
    if member.size > _TEXT_BYTES:
        raise ModelFileError(f"{member.name} takes more than {_TEXT_BYTES:,} bytes.")
    return _read_at(file, member.start, member.size)


def _read_text(file: FileIO, member: _Member, wanted: Any) -> str:
    content = _read_small(file, member)
    _check_sum(member.name, sha256(content).hexdigest(), wanted)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{member.name} is no text: {error}") from error


def _read_array(
    file: FileIO,
    member: _Member,
    name: str,
    described: Any,
    mapped: memory_map.mmap | None,
) -> NDArray:
    """An array whose size, header and numbers are as described."""
    dtype, shape, wanted = _description(name, described)
    header = _array_header(dtype.str, shape)
    n_bytes = math.prod(shape) * dtype.itemsize
    if member.size != len(header) + n_bytes:
        raise ModelFileError(
            f"Part {name!r} takes {member.size:,} bytes, but {dtype} of shape {shape} "
            f"would take {len(header) + n_bytes:,}."
        )
    start = member.start + len(header)
    if _read_at(file, member.start, len(header)) != header:
        raise ModelFileError(f"Part {name!r} is not what {MANIFEST} says it is.")
    try:
        if mapped is not None and n_bytes >= _MAPPED_BYTES and dtype.kind in "iuf":
            flat = np.frombuffer(mapped, dtype, math.prod(shape), start)
            return flat.reshape(shape)
        array = np.empty(shape, dtype)
    except (ValueError, MemoryError) as error:
        raise ModelFileError(f"Part {name!r}: {error}") from error
    memory = array.reshape(-1).view(np.uint8)
    total = _read_summed(file, start, memory.data, sha256(header))
    _check_sum(f"Part {name!r}", total, wanted)
    check_values(name, array)
    return array


def _description(name: str, described: Any) -> tuple[np.dtype, tuple[int, ...], str]:
    """The dtype, the shape and the sum that the manifest gives a part."""
    try:
        kind, shape, wanted = (described[key] for key in ("dtype", "shape", "sha256"))
        sizes = all(type(n) is int and 0 <= n < 2**60 for n in shape)
        if (
            len(described) == 3
            and _DTYPE.fullmatch(kind)
            and sizes
            and len(shape) <= 32
        ):
            dtype = np.dtype(kind)
            if dtype.str == kind:
                return dtype, tuple(shape), wanted
    except (TypeError, KeyError, ValueError, OverflowError):
        pass
    raise ModelFileError(f"Part {name!r} cannot be {described!r:.200}.")


def check_values(name: str, array: NDArray) -> None:
    """Refuse bytes that are no boolean, and numbers that are no character."""
    kinds = {"b": ("u1", 1), "U": (f"{array.dtype.str[0]}u4", 0x10FFFF)}
    if not array.size or array.dtype.kind not in kinds:
        return
    code, largest = kinds[array.dtype.kind]
    if array.reshape(-1).view(code).max() > largest:
        raise ModelFileError(f"Part {name!r} holds what is no {array.dtype}.")


def _check_sum(name: str, found: str, wanted: Any) -> None:
    if found != wanted:
        raise ModelFileError(f"{name} is damaged: its sum is another.")


def _read_at(file: FileIO, place: int, length: int) -> bytes:
    """Bytes from a place on, fewer where the file ends before."""
    if place < 0:
        return b""
    file.seek(place)
    pieces = []
    while length and (piece := file.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _read_into(file: FileIO, place: int, room: memoryview) -> None:
    file.seek(place)
    while room:
        n = file.readinto(room)
        if not n:
            raise ModelFileError("The file has become shorter while it was read.")
        room = room[n:]


def _read_summed(file: FileIO, place: int, room: memoryview, total: Any) -> str:
    """Fill memory, and its sum: that of a chunk while the next one is read."""
    if len(room) <= _CHUNK:
        _read_into(file, place, room)
        total.update(room)
        return str(total.hexdigest())
    with ThreadPoolExecutor(1) as pool:  # which takes chunks in order
        for begin in range(0, len(room), _CHUNK):
            chunk = room[begin : begin + _CHUNK]
            _read_into(file, place + begin, chunk)
            pool.submit(total.update, chunk)
    return str(total.hexdigest())


def _map(file: FileIO) -> memory_map.mmap:
    """The whole file as memory; what is written to it stays this process's own."""
    return memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY)
