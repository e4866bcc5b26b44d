"""Writers of small files in the layout of the public data sets."""

import gzip
import lzma

import pytest


@pytest.fixture
def write(tmp_path):
    """write(name, text): a file under tmp_path, compressed as its name says."""

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
        with opener(path, "wt", encoding="utf-8") as file:
            file.write(text)
        return path

    return write_file
