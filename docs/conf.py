"""Sphinx configuration: `make docs` builds docs/_build/html, with warnings as errors."""

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "pgmif"
author = "The pgmif authors"
release = version = installed("pgmif")
copyright = "2026, the pgmif authors (Apache-2.0)"

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_design", "sphinx_copybutton",
]
exclude_patterns = ["_build", "jupyter_execute"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed")
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# docstrings name parameters and values in single backticks
default_role = "literal"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "set, model_config"}
python_display_all_type_aliases = True
maximum_signature_line_length = 88

html_theme = "pydata_sphinx_theme"
html_title = "pgmif"
html_theme_options = {
    "show_toc_level": 2,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
html_copy_source = False


def _as_restructured_text(_, what, name, obj, options, lines) -> None:
    """Docstrings are plain text: a bar or star in them is itself."""
    code = re.compile(r"(`[^`]*`)")
    for k, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            parts = code.split(line)
            lines[k] = "".join(
                p if p.startswith("`") else re.sub(r"([|*_])", r"\\\1", p) for p in parts
            )


def setup(app) -> None:
    sys.path.insert(0, str(HERE))
    from generate import write_pages

    app.connect("builder-inited", lambda _: write_pages(ROOT, HERE))
    app.connect("autodoc-process-docstring", _as_restructured_text)
