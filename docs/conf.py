"""Sphinx: the narrative pages are written, the reference is made from the code."""

import sys
from pathlib import Path

import gen5astro

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "gen5astro"
author = "The gen5astro developers"
project_copyright = f"2026, {author}"
version = release = gen5astro.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_click",
    "from_code",
    "selftest_page",
    "benchmarks_page",
    "growth_page",
    "mathml",
]
exclude_patterns = ["_build"]
default_role = "py:obj"
html_theme = "pydata_sphinx_theme"
html_title = f"gen5astro {release}"
html_theme_options = {"navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
html_math_renderer = "mathml"
smartquotes = False

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
