"""How Sphinx builds the site: ``sphinx-build -W docs site``."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_extensions")]
# The gallery trains small networks: more threads than cores would only make it wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import fastbp  # noqa: E402

project = "fastbp"
author = "The fastbp developers"
version = release = fastbp.__version__
copyright = f"2026, {author}"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
]
exclude_patterns = ["_build", "tutorial"]
templates_path = ["_templates"]
default_role = "py:obj"  # `BackpropRegressor` links to its page, as in the docstrings
# What scikit-learn's docstrings, inherited, refer to on scikit-learn's own site.
suppress_warnings = ["ref.ref", "ref.term"]

# Pages are written in Markdown, the API's in reStructuredText, which autosummary reads.
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc's sections say them
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": ["tutorial", "../examples"],
    "gallery_dirs": ["auto_tutorial", "auto_examples"],
    "backreferences_dir": "generated/backreferences",
    "filename_pattern": r"\.py$",  # those that draw nothing are run as well
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("fastbp",),
    "reference_url": {"fastbp": None},
    "abort_on_example_error": True,
    "capture_repr": (),  # only what is printed
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1e9,
}

html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_static_path = ["_static"]
html_css_files = ["fastbp.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "fastbp"},
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"index": [], "changelog": []}
