"""The README's code runs as it stands, on fewer rows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_code_of_the_readme_runs(capsys):
    pytest.importorskip("pandas")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(block.replace("0_000", "_000").replace("6_000", "_600"), {})
    printed = capsys.readouterr().out
    assert "('click', 'like', 'purchase')" in printed


def test_the_commands_of_the_readme_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make ([\w-]+)", (ROOT / "README.md").read_text(), re.M)
    assert commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.M), command
