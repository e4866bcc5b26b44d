"""The container: one form, compared byte by byte, written at once or not at all."""

from __future__ import annotations

import json
import os
import stat
import zipfile
import zlib
from hashlib import sha256

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dephn_sk.storage import ModelFileError, _archive
from dephn_sk.storage._archive import read, write

PARTS = {
    "table": np.arange(400_000, dtype=np.float32).reshape(-1, 4),
    "flags": np.array([True, False]),
    "text": np.array(["å", "bc"]),
    "days": np.array(["2024-02-29", "NaT"], dtype="datetime64[D]"),
    "nothing": np.empty((0, 3)),
    "one": np.array(2**63, dtype=np.uint64),
    "by_columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
}
TEXTS = {"README.md": "# Café\n"}
MANIFEST = {"kind": "test", "tree": {"a": [1, 0.1, None, "\ud800"]}}


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "model.zip", MANIFEST, PARTS, TEXTS)
    return tmp_path / "model.zip"


@pytest.mark.parametrize("mmap", [False, True])
def test_what_is_read_is_what_was_written(path, mmap):
    manifest, parts, texts = read(path, mmap=mmap)
    assert {key: manifest[key] for key in MANIFEST} == MANIFEST
    assert texts == TEXTS
    assert list(parts) == list(PARTS)
    for name, array in PARTS.items():
        assert_array_equal(parts[name], array)
        assert parts[name].dtype == array.dtype
        assert parts[name].flags.writeable


def test_other_programs_read_the_zip_and_the_arrays_within(path):
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        names = ["manifest.json", "README.md", *(f"arrays/{n}.npy" for n in PARTS)]
        assert file.namelist() == names
        assert file.read("README.md").decode() == TEXTS["README.md"]
        sums = json.loads(file.read("manifest.json"))["parts"]
        for name, array in PARTS.items():
            content = file.read(f"arrays/{name}.npy")
            assert sha256(content).hexdigest() == sums[name]["sha256"]
            with file.open(f"arrays/{name}.npy") as member:
                assert_array_equal(np.load(member, allow_pickle=False), array)


def test_numbers_begin_at_multiples_of_64_bytes(path):
    content = path.read_bytes()
    for name in PARTS:
        assert content.index(b"\x93NUMPY") % 64 == 0, name
    start = content.index(PARTS["table"].tobytes())
    assert start % 64 == 0


def test_a_mapped_array_is_written_to_in_memory_alone(path):
    before = path.read_bytes()
    table = read(path, mmap=True)[1]["table"]
    table[:] = -1.0
    assert path.read_bytes() == before
    assert_array_equal(read(path)[1]["table"], PARTS["table"])


def test_the_same_is_written_as_the_same_bytes(path, tmp_path):
    write(tmp_path / "again.zip", MANIFEST, PARTS, TEXTS)
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


# ------------------------------------------------------------------ all or nothing


@pytest.mark.parametrize("fault", ["fsync", "replace", "part"])
def test_a_file_that_is_not_written_leaves_the_one_before(path, fault, monkeypatch):
    before, parts = path.read_bytes(), PARTS
    if fault == "part":
        parts = {"table": np.array([object()])}
    else:

        def full(*_):
            raise OSError("no space left on device")

        monkeypatch.setattr(_archive.os, fault, full)
    with pytest.raises((OSError, ValueError), match=r"no space|array of object"):
        write(path, MANIFEST, parts, {})
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["model.zip"]


def test_an_interrupted_file_leaves_the_one_before(path, monkeypatch):
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_archive.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, MANIFEST, PARTS, {})
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["model.zip"]


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_links_are_followed_and_others_may_read(path, tmp_path):
    (tmp_path / "latest.zip").symlink_to(path)
    write(tmp_path / "latest.zip", {}, {}, {})
    assert (tmp_path / "latest.zip").is_symlink()
    assert read(path)[1] == {}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_there_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.zip")
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "model.zip", {}, {}, {})
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="no file"):
        read(tmp_path / "pipe")


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "/a", "a/b", "a\\b", "ä", "a" * 200]
)
def test_names_that_are_paths_are_not_written(name, tmp_path):
    with pytest.raises(ValueError, match="cannot be the name"):
        write(tmp_path / "model.zip", {}, {name: np.ones(1)}, {})
    assert not list(tmp_path.iterdir())


def test_names_that_differ_in_case_alone_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="one name"):
        write(tmp_path / "model.zip", {}, {"a": np.ones(1), "A": np.ones(1)}, {})


@pytest.mark.parametrize(
    "array",
    [
        np.array([None]),
        np.zeros(1, dtype=[("a", "f4")]),
        np.zeros(1, dtype="V8"),
        np.zeros(1, dtype=np.longdouble),
    ],
)
def test_arrays_of_objects_and_records_are_not_written(array, tmp_path):
    if array.dtype == np.float64:
        pytest.skip("long double is double here")
    with pytest.raises(ValueError, match="part1"):
        write(tmp_path / "model.zip", {}, {"part1": array}, {})


def rebuilt(path, change):
    """The file with its members changed, and all headers and check sums right."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(contents["manifest.json"])
    contents = change(manifest, contents) or contents
    contents["manifest.json"] = _archive._json(manifest).encode()
    written, members = b"", []
    for name, content in contents.items():
        member = _archive._Member(name, len(content), zlib.crc32(content), len(written))
        members.append(member)
        written += member.local() + content
    path.write_bytes(written + _archive._ending(members))


def with_header(dtype, shape):
    """A part with another header, and the sums of it."""

    def change(manifest, contents):
        content = contents["arrays/flags.npy"]
        header = _archive._array_header(dtype, shape)
        content = header + content[-2:]
        manifest["parts"]["flags"] = {
            "dtype": dtype,
            "shape": list(shape),
            "sha256": sha256(content).hexdigest(),
        }
        contents["arrays/flags.npy"] = content

    return change


def swapped(manifest, contents):
    contents["arrays/days.npy"], contents["arrays/one.npy"] = (
        contents["arrays/one.npy"],
        contents["arrays/days.npy"],
    )


def resummed(manifest, contents):
    contents["arrays/flags.npy"] = contents["arrays/flags.npy"][:-1] + b"\2"
    manifest["parts"]["flags"]["sha256"] = sha256(
        contents["arrays/flags.npy"]
    ).hexdigest()


def no_text(manifest, contents):
    contents["README.md"] = b"\xff"
    manifest["texts"]["README.md"] = sha256(b"\xff").hexdigest()


CHANGES = {
    "a newer format": (
        lambda m, c: m.update(format=_archive.FORMAT + 1),
        rf"format {_archive.FORMAT + 1}, .* up to {_archive.FORMAT}",
    ),
    "a format that is no number": (lambda m, c: m.update(format="1"), "format 1"),
    "a shape beyond the file": (with_header("|b1", (2**60 - 1,)), "'flags' takes"),
    "a shape beyond memory": (with_header("|b1", (2**60, 2**60)), "'flags' cannot be"),
    "a negative shape": (with_header("|b1", (-2,)), "'flags' cannot be"),
    "an empty shape of great length": (with_header("|b1", (0, 2**59, 2**59)), "flags"),
    "an object dtype": (with_header("|O", (2,)), "'flags' cannot be"),
    "a record": (with_header("|V2", (1,)), "'flags' cannot be"),
    "a dtype of no size": (with_header("<U0", (2**50,)), "'flags' cannot be"),
    "a dtype beyond any size": (with_header("<U" + "9" * 30, (1,)), "'flags' cannot"),
    "a boolean that is none": (resummed, "'flags' holds what is no bool"),
    "parts in each other's place": (swapped, "'days'"),
    "a part that is missing": (
        lambda m, c: c.pop("arrays/flags.npy") and None,
        "differ: .'arrays/flags.npy'",
    ),
    "a part that nobody lists": (
        lambda m, c: m["parts"].pop("flags") and None,
        "differ: .'arrays/flags.npy'",
    ),
    "a member that nobody lists": (
        lambda m, c: c.update({"__init__.py": b"import os"}),
        "differ",
    ),
    "a path upwards": (
        lambda m, c: (
            m["texts"].update({"../x": sha256(b"").hexdigest()}),
            {"manifest.json": b"", "../x": b""}
            | {k: v for k, v in c.items() if k != "manifest.json"},
        )[1],
        "differ|cannot be the name",
    ),
    "no manifest": (
        lambda m, c: {"arrays/x.npy": b""},
        "is damaged|no manifest|differ",
    ),
    "a sum that is another": (
        lambda m, c: m["parts"]["flags"].update(sha256="0" * 64),
        "'flags' is damaged",
    ),
    "a text that is another": (lambda m, c: c.update({"README.md": b"x"}), "README.md"),
    "a text that is none": (
        no_text,
        "README.md is no text",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_with_right_sums_that_says_what_cannot_be_is_refused(path, change):
    how, message = CHANGES[change]
    rebuilt(path, how)
    with pytest.raises(ModelFileError, match=message):
        read(path)


def test_a_rebuilt_file_is_the_file(path):
    before = path.read_bytes()
    rebuilt(path, lambda manifest, contents: None)
    assert path.read_bytes() == before


MANIFESTS = {
    "a key twice": lambda text: text.replace(b'"kind":', b'"kind":"a","kind":', 1),
    "another spelling": lambda text: text.replace(b"0.1", b"1e-1", 1),
    "white space": lambda text: text.replace(b",", b", ", 1),
    "no JSON": lambda text: text[:-1],
    "NaN": lambda text: text.replace(b"0.1", b"NaN", 1),
    "deep": lambda text: text.replace(b"0.1", b"[" * 10**5 + b"]" * 10**5, 1),
    "a long integer": lambda text: text.replace(b"0.1", b"9" * 10**5, 1),
    "a list": lambda text: b"[]",
}


@pytest.mark.parametrize("change", MANIFESTS)
def test_a_manifest_has_one_form(path, change, monkeypatch):
    changed = MANIFESTS[change]
    monkeypatch.setattr(
        _archive, "_json", lambda document: changed(RAW(document).encode()).decode()
    )
    rebuilt(path, lambda manifest, contents: None)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match=r"manifest\.json"):
        read(path)


RAW = _archive._json


def test_what_other_programs_zip_is_refused(path, tmp_path):
    """Compressed, with flags, dates, comments, or in another order."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "other.zip", "w", method) as file:
            for name, content in contents.items():
                file.writestr(name, content)
        with pytest.raises(ModelFileError, match="damaged"):
            read(tmp_path / "other.zip")


def test_a_bomb_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", b" " * 10**7)
    with pytest.raises(ModelFileError):
        read(tmp_path / "bomb.zip")


def test_nothing_may_stand_before_behind_or_between(path):
    content = path.read_bytes()
    for changed in (
        b"x" + content,
        content + b"x",
        content[:1000] + b"x" + content[1000:],
        content[:-1],
        content + content,
        content[: len(content) // 2],
        b"",
        b"PK\5\6" + bytes(18),
    ):
        path.write_bytes(changed)
        with pytest.raises(ModelFileError):
            read(path)


def test_every_byte_counts(tmp_path):
    """A flipped bit anywhere is seen: in headers, padding, sums, and numbers."""
    path = tmp_path / "model.zip"
    write(path, MANIFEST, {"table": np.arange(3.0), "flags": PARTS["flags"]}, TEXTS)
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(ModelFileError):
            read(path)


def test_more_members_than_a_plain_zip_holds(tmp_path, monkeypatch):
    """With a limit of ten in the place of 65,535, other programs still read it."""
    monkeypatch.setattr(_archive, "_SHORT", 10)
    many = {f"p{i}": np.full(1, i) for i in range(12)}
    write(tmp_path / "many.zip", {}, many, {})
    assert len(read(tmp_path / "many.zip")[1]) == 12
    with zipfile.ZipFile(tmp_path / "many.zip") as file:
        assert len(file.namelist()) == 13


def test_members_beyond_four_gigabytes(tmp_path):
    """Their headers, in a file with a hole, as another program reads them."""
    large = _archive._Member("arrays/large.npy", 2**32 + 7, 0, 2**33)
    after = _archive._Member("arrays/after.npy", 1, 0, large.stop)
    assert large.start % 64 == after.start % 64 == 0
    with open(tmp_path / "model.zip", "wb") as file:
        file.truncate(after.stop)
        file.seek(after.stop)
        file.write(_archive._ending([large, after]))
    with zipfile.ZipFile(tmp_path / "model.zip") as found:
        read = [(i.filename, i.file_size, i.header_offset) for i in found.infolist()]
    assert read == [
        ("arrays/large.npy", 2**32 + 7, 2**33),
        ("arrays/after.npy", 1, large.stop),
    ]


def test_a_folder_that_is_not_there_is_named_and_not_the_file_beside(tmp_path):
    folder = tmp_path / "models"
    with pytest.raises(FileNotFoundError, match="no folder to write into") as refused:
        write(folder / "m.zip", {}, {}, {})
    assert refused.value.filename == str(folder)
