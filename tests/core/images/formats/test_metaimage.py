"""MetaImage: headers that contradict, lack or hide something are refused."""

import pytest

from pgmif_core.images.formats import read_metaimage
from pgmif_core.images.volumes import ImageError, Trust, read_image, volume_files

META = ("ObjectType = Image\nNDims = {dims}\nDimSize = {sizes}\nElementType = {type}\n"
        "TransformMatrix = {matrix}\nOffset = 0 0 0\nElementSpacing = {spacing}\n"
        "CompressedData = {packed}\n"
        "ElementNumberOfChannels = {channels}\nHeaderSize = {header}\nElementDataFile = {file}\n")
META_GOOD = {"dims": 3, "sizes": "4 4 4", "type": "MET_FLOAT", "matrix": "1 0 0 0 1 0 0 0 1",
             "spacing": "1 1 2", "packed": "False", "channels": 1, "header": 0, "file": "LOCAL"}


@pytest.mark.parametrize(("change", "message"), [
    ({"dims": -1}, "NDims"), ({"sizes": "4 4 4 4", "dims": 4}, "3-D"), ({"sizes": "4 4 0"}, "positive"),
    ({"type": "MET_STRING"}, "known type"), ({"channels": 3}, "one number per voxel"),
    ({"matrix": "1 0 0 0 1 0 0 0 9"}, "unit vectors"), ({"matrix": "1 0 0"}, "9 numbers"),
    ({"spacing": "1 1 0"}, "invertible"), ({"packed": "True"}, "found"), ({"header": -9}, "HeaderSize"),
    ({"header": 10**9}, "bytes of voxels"), ({"file": "/etc/hosts"}, "outside"),
    ({"file": "../x.raw"}, "outside"), ({"file": "LIST"}, "found|outside"),
    ({"file": "a%d.raw"}, "pattern"),
    ({"sizes": "100000 100000 1000"}, "at most"),
])
def test_metaimage_headers_are_checked(tmp_path, change, message):
    path = tmp_path / "a.mha"
    path.write_bytes(META.format(**META_GOOD).encode() + bytes(256))
    assert read_metaimage(path).voxels.shape == (4, 4, 4)
    path.write_bytes(META.format(**{**META_GOOD, **change}).encode() + bytes(256))
    with pytest.raises(ImageError, match=message):
        read_image(path)


def test_a_detached_file_may_lie_where_that_is_allowed(tmp_path):
    (tmp_path / "in").mkdir()
    header = tmp_path / "in" / "a.mhd"
    header.write_text(META.format(**META_GOOD | {"file": "../a.raw"}))
    (tmp_path / "a.raw").write_bytes(bytes(256))
    for trust in (Trust(allow_outside=True), Trust(within=tmp_path)):
        assert read_image(header, trust).GetSize() == (4, 4, 4)
        assert [p.name for p in volume_files(header, trust)] == ["a.mhd", "a.raw"]
    with pytest.raises(ImageError, match="--allow-outside"):
        volume_files(header)
