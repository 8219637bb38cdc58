"""Compressed DICOM series, whole and damaged."""

import subprocess
import sys

import pydicom
import pytest
from helpers.dicoms import assert_same, volume, write_dicom_series

from pgmif_core.images.dicom import read_series


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80",
                                    "1.2.840.10008.1.2.4.90"], ids=["RLE", "JPEG-LS", "JPEG 2000"])
def test_compressed_series(tmp_path, syntax):
    expected = volume(depth=4, rows=32, columns=40)
    folder = write_dicom_series(expected, tmp_path / "t2", PixelRepresentation=0)
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    assert_same(read_series(folder), expected)


DAMAGED = """
import resource, sys
from pathlib import Path
from pgmif_core.images.dicom import read_series
from pgmif_core.images.dicom.planes import SeriesError
folder = Path(sys.argv[1])
file = folder / "0002.dcm"
whole = file.read_bytes()
for left in (100, 400, 2000):
    file.write_bytes(whole[:-left])
    try:
        read_series(folder)
    except SeriesError as error:
        assert "0002.dcm: expected pixels that can be decoded, found" in str(error), error
    else:
        raise AssertionError(f"{left} bytes less were not missed")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_a_damaged_compression_takes_no_memory(root, tmp_path):
    folder = write_dicom_series(volume(depth=8, rows=58, columns=50), tmp_path / "s")
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.save_as(file)
    done = subprocess.run([sys.executable, "-c", DAMAGED, str(folder)], cwd=root, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1700  # MiB; one of these asked GDCM for four gigabytes
