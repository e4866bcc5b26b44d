"""What a release holds, and what says so, agree."""

from __future__ import annotations

import os
import re
import tarfile
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

import dephn_sk

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "pyproject.toml").is_file():
    pytest.skip("not in a source tree", allow_module_level=True)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
of_a_wheel = pytest.mark.skipif(
    not os.environ.get("DEPHN_SK_WHEEL"), reason="of `make test WHEEL=1`"
)


def pinned(file):
    """Package -> version, of a file of constraints."""
    lines = (ROOT / ".ci" / file).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def floors(extra=None):
    """Package -> oldest version, of the requirements of the project or of an extra."""
    given = (
        PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    )
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement) for requirement in given)
    return {match[1]: match[2] for match in found if match}


def test_the_tests_import_what_they_were_asked_to_test():
    in_source = Path(dephn_sk.__file__).is_relative_to(ROOT / "dephn_sk")
    assert in_source is not bool(os.environ.get("DEPHN_SK_WHEEL"))


@of_a_wheel
def test_the_wheel_holds_the_package_and_nothing_else():
    tops = {Path(file).parts[0] for file in distribution("dephn-sk").files}
    assert {top.split("-")[0] for top in tops} == {"dephn_sk"}


@of_a_wheel
@pytest.mark.parametrize(
    "folder", ["tests", "docs/examples", "docs/engines", "benchmarks"]
)
def test_the_sdist_holds_what_is_needed_to_test_and_to_build_the_pages(folder):
    (archive,) = (ROOT / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as members:
        held = {name.partition("/")[2] for name in members.getnames()}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")}
    assert wanted <= held
    assert {"Makefile", "CITATION.cff", ".ci/constraints.txt", "docs/conf.py"} <= held


def test_the_version_is_said_alike():
    said = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert dephn_sk.__version__ == PROJECT["version"] == said[1]
    assert distribution("dephn-sk").version == PROJECT["version"]


def test_type_checkers_are_told_that_there_are_types():
    assert Path(dephn_sk.__file__).with_name("py.typed").is_file()


@pytest.mark.parametrize("extra", [None, "frames", "plot"])
def test_the_oldest_version_that_is_allowed_is_one_that_is_tested(extra):
    oldest = pinned("oldest.txt")
    for package, floor in floors(extra).items():
        assert f"{oldest[package]}.".startswith(f"{floor}."), package


def test_there_are_six_runtime_dependencies_and_each_has_a_floor():
    packages = {"torch", "skorch", "scikit-learn", "numpy", "scipy", "joblib"}
    assert set(floors()) == packages
    assert len(PROJECT["dependencies"]) == len(packages)


def test_hooks_and_ci_run_what_the_makefile_does():
    """Nothing is checked before a commit that `make test` does not check."""
    makefile = (ROOT / "Makefile").read_text()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    checks = re.findall(r"\$\(VENV\)/bin/((?:ruff|codespell|mypy).*)", makefile)
    assert len(checks) == 4
    for check in checks:
        assert f"entry: .venv/bin/{check.replace(' $(TEXTS)', '')}" in hooks, check
