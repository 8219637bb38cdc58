"""A viewer as a web page that needs neither Jupyter nor a network."""

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pgmif.pages import write_page

STYLE = "body { max-width: none; } h1 { font-size: 1.3rem; } figure { margin: 0; }"


def write_viewer(
    path: Path, title: str, state: Mapping[str, Any], pixels: Mapping[str, tuple[int, bytes, bool]],
    script: str, style: str,
) -> Path:
    """Write a page with the viewer's script, its traits and its pixels (16 bits, packed) inside."""
    packed = {
        name: {"message": {"pixels": name, "version": version, "outline": outline},
               "packed": base64.b64encode(gzip.compress(values, 6, mtime=0)).decode()}
        for name, (version, values, outline) in pixels.items()
    }
    # a label may hold what would end the script element
    data = json.dumps({"state": state, "pixels": packed}, allow_nan=False).replace("<", "\\u003c")
    body = Markup(
        '<main><h1>{}</h1><div id="viewer"></div>'
        '<p class="soft">Research use only. Not a medical device.</p></main>\n'
        '<script type="application/json" id="patient">{}</script>\n'
        '<script type="module">\n{}\n</script>'
    ).format(title, Markup(data), Markup(script))
    return write_page(path, title, body, style + STYLE)
