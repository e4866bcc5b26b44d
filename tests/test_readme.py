"""The README's code runs as it stands, on fewer rows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.usefixtures("short_fits")
def test_the_code_of_the_readme_runs(capsys):
    pytest.importorskip("pandas")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(block.replace("0_000", "_000").replace("6_000", "_600"), {})
    printed = capsys.readouterr().out
    assert "('click', 'like', 'purchase')" in printed
    assert "True" in printed  # no purchase is above its click


def test_the_figures_of_funnels_are_those_of_the_guide():
    readme = (ROOT / "README.md").read_text()
    guide = (ROOT / "docs" / "guide" / "funnels.md").read_text()
    found = re.search(
        r"expects (\d+) ± (\d+) %.*?it is ([\d.]+) ± ([\d.]+) %", readme, re.S
    )
    rows = [
        re.search(rf"^\| {name} \| (\S+) ± (\S+) \|", guide, re.M).groups()
        for name in ("clicks alone", "conditions")
    ]
    assert [float(n) for n in found.groups()] == [
        *(round(float(n)) for n in rows[0]),
        *(float(n) for n in rows[1]),
    ]


def test_the_commands_of_the_readme_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make ([\w-]+)", (ROOT / "README.md").read_text(), re.M)
    assert commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.M), command
