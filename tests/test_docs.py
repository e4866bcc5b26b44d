"""The documentation is complete and its code runs; building it is `make docs`."""

import doctest
import fnmatch
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import dephn_sk

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BUILT = ("_build", "auto_examples", "generated", "_templates")
PAGES = sorted(
    path
    for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")]
    if not {*path.relative_to(DOCS).parts} & {*BUILT, "examples"}
)
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
QUICK = ("quick_start", "from_lightgbm", "numeric_embeddings", "missing_labels_funnel")
PACKAGES = ["dephn_sk"] + [
    f"dephn_sk.{module.name}"
    for module in pkgutil.iter_modules(dephn_sk.__path__)
    if not module.name.startswith("_")
]


def entries(page):
    """What the toctrees of a page name, relative to the folder of the page."""
    text = page.read_text()
    if page.suffix == ".md":
        blocks = re.findall(r"```\{toctree\}\n(.*?)```", text, re.S)
    else:
        blocks = re.findall(r"\.\. toctree::\n(.*?)(?=\n\S|\Z)", text, re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def test_the_api_page_holds_the_public_names_and_no_others():
    listed, package = set(), None
    for line in (DOCS / "api.rst").read_text().splitlines():
        if found := re.match(r"\.\. (?:currentmodule|automodule):: (\S+)", line):
            package = found[1]
        elif found := re.fullmatch(r"   (\w+)", line):
            listed.add(f"{package}.{found[1]}")
    public = {
        f"{package}.{name}"
        for package in PACKAGES
        for name in importlib.import_module(package).__all__
        if not name.startswith("__")
    }
    assert listed == public


def test_every_page_is_reached_from_the_start_page():
    start = DOCS / "index.md"
    reached, pending = set(), [start]
    while pending:
        page = pending.pop()
        reached.add(page)
        for entry in entries(page):
            pattern = str(page.parent.joinpath(entry).relative_to(DOCS))
            pending += [
                other
                for other in PAGES
                if other not in reached
                and fnmatch.fnmatch(
                    str(other.relative_to(DOCS).with_suffix("")), pattern
                )
            ]
    assert reached == set(PAGES)


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *PAGES], ids=lambda page: page.name
)
def test_every_relative_link_and_picture_is_there(page):
    text = re.sub(
        r"```(?:pycon|python|console)\n.*?```", "", page.read_text(), flags=re.S
    )
    links = re.findall(
        r"\]\(([^)\s]+)\)|\{image\} (\S+)|(?:src|href)=\"([^\"]+)\"", text
    )
    for link in ("".join(groups) for groups in links):
        if re.match(r"[a-z]+:|#", link) or link.startswith("auto_examples/"):
            continue
        assert (page.parent / link.split("#")[0]).exists(), link


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "```pycon" in page.read_text()],
    ids=lambda page: page.name,
)
def test_the_code_of_a_page_gives_what_the_page_says(page):
    pytest.importorskip("pandas")
    code = "\n".join(re.findall(r"```pycon\n(.*?)```", page.read_text(), re.S))
    if "to_onnx" in code:
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    test = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert not doctest.DocTestRunner(optionflags=flags).run(test).failed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_build_runs_every_example(example):
    assert example.name.startswith("plot_")  # sphinx-gallery runs these alone
    compile(example.read_text(), example.name, "exec")


@pytest.mark.usefixtures("short_fits")
@pytest.mark.parametrize("name", QUICK)
def test_examples_run_on_a_tenth_of_their_rows(name, monkeypatch):
    """The build of the documentation runs all of them as they are."""
    pytest.importorskip("pandas")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    example = DOCS / "examples" / f"plot_{name}.py"
    fewer = re.sub(r"(?<=\d)_000\b", "00", example.read_text())
    assert fewer != example.read_text()
    fewer = fewer.replace("for seed in range(3)", "for seed in range(1)")
    try:
        exec(compile(fewer, str(example), "exec"), {"__name__": "__main__"})
        assert pyplot.get_fignums(), "the example draws nothing"
    finally:
        pyplot.close("all")


def test_examples_that_pages_refer_to_are_there():
    for page in PAGES:
        for name in re.findall(r"sphx_glr_auto_examples_(\w+\.py)", page.read_text()):
            assert (DOCS / "examples" / name).exists(), (page.name, name)


def test_the_picture_of_the_default_network_shows_the_defaults():
    default = dephn_sk.DEPHNMultiTaskClassifier()
    text = (DOCS / "images" / "architecture_default.svg").read_text()
    drawn = re.findall(r">(DNN|cross|field)</text>", text)
    assert tuple(name.lower() for name in drawn) == default.public_experts
    assert f">{', '.join(default.mappings)}</text>" in text
    assert ("Private" in text) == bool(default.private_experts)
    assert ("Soft selection" in text) == (default.selection is not None)
    assert ("virtual" in text) == (default.virtual_gradient is not None)
