"""How the documentation is built: `make docs`, offline, warnings as errors."""

import os

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import dephn_sk

os.environ["OMP_NUM_THREADS"] = "1"

project = "dephn_sk"
version = release = dephn_sk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
default_role = "autolink"
nitpicky = True
nitpick_ignore = [
    ("py:obj", "signal"),  # a parameter, which has the name of a module
    ("py:obj", "set_output"),  # inherited from scikit-learn
]
nitpick_ignore_regex = [
    # names of other projects, whose indices would have to be fetched
    (r"py:.*", r"(sklearn|skorch|torch|numpy|pandas|matplotlib)\..*"),
]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

suppress_warnings = ["config.cache"]  # of the class in the gallery's settings


class ReadingOrder:
    """The order of the examples in the gallery; unnamed ones come last."""

    names = (
        "quick_start",
        "report",
        "missing_labels_funnel",
        "click_then_buy",
        "reading_the_gates",
        "hyper_parameter_search",
        "calibration",
        "unseen_ids",
        "numeric_embeddings",
        "own_network",
        "from_lightgbm",
        "from_deepctr_torch",
    )

    def __init__(self, folder):
        pass

    def __call__(self, file):
        name = file.removeprefix("plot_").removesuffix(".py")
        return self.names.index(name) if name in self.names else len(self.names)


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": ReadingOrder,
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "write_computation_times": False,
    "run_stale_examples": True,  # the library may have changed where an example did not
    "reference_url": {"dephn_sk": None},
    "doc_module": "dephn_sk",
    "backreferences_dir": "generated/backreferences",
}

html_theme = "pydata_sphinx_theme"
html_theme_options = {"navbar_persistent": ["search-button"]}
html_context = {"default_mode": "auto"}  # without one, the theme complains
html_show_search_summary = False  # would fetch each page, which a file may not
html_title = "dephn_sk"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_js_files = [("scroll.js", {"defer": "defer"})]
html_copy_source = False
html_math_renderer = "mathml"


def mathml(node, **options):
    tex = node.astext().replace(r"\dots", r"\ldots")
    if r"\\" in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return tex2mathml(tex, **options)


def inline_math(translator, node):
    translator.body.append(mathml(node))
    raise nodes.SkipNode


def block_math(translator, node):
    translator.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def name_citations(app, page, template, context, tree):
    """Items of the list they stand in: docutils gives them a role that ARIA gave up."""
    if "body" in context:
        body = context["body"]
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app):
    app.connect("html-page-context", name_citations)
    # every browser draws MathML: nothing to fetch, and no script to run
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
