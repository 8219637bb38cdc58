"""Which files belong to a header: all of them are inputs, and all of them are looked after."""

from pathlib import Path

from pgmif_core.images.formats import metaimage, nrrd
from pgmif_core.images.formats.common import ImageError, Trust, checked_data_file

PAIRS = {".hdr": (".img", ".img.gz"), ".img": (".hdr", ".hdr.gz")}


def data_files(path: Path, trust: Trust = Trust()) -> list[Path]:  # noqa: B008
    """Files beside a header that hold its voxels (.mhd, .nhdr, .hdr), in order; empty for others.

    Raises ImageError where the header is damaged, or names a file outside or none that is there.
    """
    suffix = path.suffix.lower()
    if suffix in (".mhd", ".mha"):
        names = metaimage.data_names(path, metaimage.read_header(path))
    elif suffix in (".nhdr", ".nrrd"):
        names = nrrd.data_names(path, nrrd.read_header(path))
    elif suffix in PAIRS:
        beside = [path.with_suffix(other) for other in PAIRS[suffix]]
        found = [p for s in beside for p in (s, s.with_suffix(s.suffix.upper())) if p.is_file()]
        if not found:
            raise ImageError(f"{path}: expected {beside[0].name} beside it, found none. Copy it, too.")
        return found[:1]
    else:
        return []
    return [checked_data_file(path, name, trust) for name in names]
