"""Sphinx configuration: `make docs` builds docs/_build/html, with warnings as errors."""

import os
import re
import sys
from importlib.metadata import version as installed
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

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
nb_execution_timeout = 600  # of a machine whose cores are busy
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js: dict = {}  # pages ask the network for nothing
os.environ["TQDM_DISABLE"] = "1"  # of the lessons: a bar at rest tells nothing
# every kernel warns that its port on this machine is not encrypted; errors of cells are reported as such
profile = HERE / "_build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 50\n")
os.environ["IPYTHONDIR"] = str(profile.parent)

# docstrings name parameters and values in single backticks
default_role = "literal"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "set, model_config"}
python_display_all_type_aliases = True
maximum_signature_line_length = 88

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "pgmif"
html_favicon = "_static/icon.svg"
html_theme_options = {
    "show_toc_level": 2,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_static_path = ["_static"]
html_css_files = ["equations.css"]
html_sidebars = {"index": []}
html_copy_source = False


def _as_restructured_text(_, what, name, obj, options, lines) -> None:
    """Docstrings are plain text: a bar or star in them is itself."""
    code, example = re.compile(r"(`[^`]*`)"), False
    for k, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = code.split(line)
            lines[k] = "".join(
                p if p.startswith("`") else re.sub(r"([|*_])", r"\\\1", p) for p in parts
            )


ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[([^\]]*)\]\]")


def _array_types_by_name(_, what, name, obj, options, signature, returned) -> tuple:
    """Signatures say NDArray and ArrayLike as the code does, not what stands behind the names."""
    def named(text: str | None) -> str | None:
        if text is None:
            return None
        text = text.replace(stringify_annotation(ArrayLike, "smart"), "ArrayLike")
        return ARRAY.sub(lambda m: "NDArray" if "_ScalarT" in m[1] else f"NDArray[{m[1]}]", text)

    return named(signature), named(returned)


def _mathml(display: str):
    """Equations as MathML, which browsers draw themselves: no script, nothing from the network."""
    def visit(translator, node) -> None:
        translator.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit


def setup(app) -> None:
    sys.path.insert(0, str(HERE))
    from generate import write_pages

    app.connect("builder-inited", lambda _: write_pages(ROOT, HERE))
    app.connect("autodoc-process-docstring", _as_restructured_text)
    app.connect("autodoc-process-signature", _array_types_by_name)
    app.add_html_math_renderer("mathml", (_mathml("inline"), None), (_mathml("block"), None))
