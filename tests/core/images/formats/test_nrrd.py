"""NRRD: headers that contradict, lack or hide something are refused."""

import numpy as np
import pytest
from helpers.images import STRICT

from pgmif_core.images.formats import read_nrrd
from pgmif_core.images.volumes import ImageError, read_image

NRRD = ("NRRD0005\ntype: {type}\ndimension: {dimension}\nspace: {space}\nsizes: {sizes}\n"
        "space directions: {directions}\nencoding: {encoding}\nendian: {endian}\n"
        "space origin: (0,0,0)\n{more}\n")
GOOD = {"type": "float", "dimension": 3, "space": "LPS", "sizes": "4 4 4", "encoding": "raw",
        "directions": "(1,0,0) (0,1,0) (0,0,1)", "endian": "little", "more": ""}


@pytest.mark.parametrize(("change", "message"), [
    ({"sizes": "4 4 400"}, "bytes of voxels"), ({"sizes": "4 4 -4"}, "positive sizes"),
    ({"sizes": "99999 99999 99999"}, "at most"), ({"dimension": 4}, "as many sizes"),
    ({"sizes": "4 4 x"}, "numbers after"), ({"type": "block"}, "known type"),
    ({"encoding": "zstd"}, "known encoding"), ({"endian": "middle"}, "known endian"),
    ({"encoding": "ascii"}, "as numbers|numbers as text"),
    ({"encoding": "gzip"}, "decompress|incorrect|found error"),
    ({"directions": "(1,0,0) (0,1,0) (0,0,0)"}, "invertible"),
    ({"directions": "(1,0,0) (0,1,0) (0,0,nan)"}, "invertible"),
    ({"directions": "(1,0,0) (0,1,0) (0,0,900)"}, "voxels of"),
    ({"directions": "(1,0) (0,1) (0,0)"}, "three axes"), ({"more": "byte skip: -5\n"}, "few lines"),
    ({"more": "data file: absent.raw\n"}, "found none"),
    ({"more": "data file: /etc/hosts\n"}, "outside"),
    ({"more": "data file: ../away.raw\n"}, "outside"), ({"more": "data file: a%d.raw 1 99999 1\n"}, "1 "
                                                                                                    "to"),
    ({"more": "data file: LIST\n../away.raw\n"}, "outside"),
])
def test_nrrd_headers_are_checked(tmp_path, change, message):
    path = tmp_path / "in" / "a.nrrd"
    path.parent.mkdir()
    (tmp_path / "away.raw").write_bytes(bytes(256))
    path.write_bytes(NRRD.format(**GOOD).encode() + bytes(256))
    read_image(path, STRICT)
    path.write_bytes(NRRD.format(**{**GOOD, **change}).encode() + bytes(256))
    with pytest.raises(ImageError, match=message):
        read_image(path, STRICT)


def test_text_voxels_are_read(tmp_path):
    path = tmp_path / "a.nrrd"
    text = " ".join(map(str, range(64))).encode()
    path.write_bytes(NRRD.format(**GOOD | {"encoding": "ascii"}).encode() + text)
    np.testing.assert_array_equal(read_nrrd(path).voxels.ravel(), np.arange(64))
