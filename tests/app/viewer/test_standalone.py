"""A saved page of the viewer holds all it needs."""

import base64
import gzip
import json
import re

import pytest
from helpers.viewers import sent

from pgmif.viewer import Viewer, view


def test_a_saved_page_holds_all_slices_and_nothing_else_is_fetched(images, masks, tmp_path):
    viewer = view(images, **masks, labels={"fused": "</script><b>x"}, caption="sub-x & <i>co</i>")
    viewer.view = "difference"
    path = viewer.save_as_html(str(tmp_path / "patient.html"))
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="patient">(.*?)</script>', text, re.DOTALL).group(1))
    assert data["state"]["panels"][2]["label"] == "</script><b>x"
    assert data["state"]["view"] == "difference"
    assert set(data["pixels"]) == {*images, "outline GTV", "outline reference"}
    for name in images:
        values = gzip.decompress(base64.b64decode(data["pixels"][name]["packed"]))
        assert values == sent(viewer, name)[1]
        assert data["pixels"][name]["message"] == sent(viewer, name)[0]
    assert "<h1>sub-x &amp; &lt;i&gt;co&lt;/i&gt;</h1>" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert path.read_bytes() == viewer.save_as_html(tmp_path / "again.html").read_bytes()


def test_a_page_is_refused_before_it_is_written(images, tmp_path):
    with pytest.raises(ValueError, match="expected a patient to be loaded first"):
        Viewer().save_as_html(tmp_path / "x.html")
    with pytest.raises(ValueError, match="expected a folder to write x"):
        view(images).save_as_html(tmp_path / "none" / "x.html")
    assert list(tmp_path.iterdir()) == []
