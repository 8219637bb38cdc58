"""Public cohorts: size and licence first, room on the disk, resumable, checked against a record."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pooch
import requests

from pgmif_core.files import replacing

TIMEOUT_SECONDS = 30
CHUNK = 1 << 20
UNPACKED = 2.2  # room for the archive and what is in it, as a multiple of the archive


class DownloadError(RuntimeError):
    """A download that cannot be made or trusted: says why and what to do."""


class Dataset(NamedTuple):
    """A public cohort: where it lies, how it may be used, and its layout for `pgmif scan`."""

    title: str
    url: str
    licence: str
    citation: str
    layout: str


DATASETS = {
    "npc277": Dataset(
        "277 patients with primary nasopharyngeal carcinoma: T1, T2, contrast-enhanced T1, tumour",
        "https://zenodo.org/records/10900202/files/data.zip",
        "CC BY 4.0", "Li et al., arXiv:2404.03253; doi:10.5281/zenodo.10900202", "npc277",
    ),
}


def remote_size(url: str) -> int:
    """Bytes of a file on a server; 0 where the server does not say. Raises DownloadError offline."""
    try:
        answer = requests.head(url, allow_redirects=True, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _unreachable(url, error) from error
    return int(answer.headers.get("Content-Length", 0))


def _unreachable(url: str, error: Exception) -> DownloadError:
    return DownloadError(
        f"{url} cannot be reached ({type(error).__name__}); what was loaded so far is kept. Try again "
        "when the network is there, or download the file by hand, unpack it, and run `pgmif scan` on "
        "the folder."
    )


def check_room(folder: Path, size: int, have: int = 0) -> None:
    """Raises DownloadError where the disk has no room for an archive of `size` bytes and its content.

    `have` bytes of the archive are there already.
    """
    free = shutil.disk_usage(folder).free
    needed = UNPACKED * size - have
    if free < needed:
        raise DownloadError(
            f"{folder}: expected {needed / 1e9:.1f} GB of free space for the archive and its "
            f"content, found {free / 1e9:.1f} GB. Nothing was loaded; name another folder."
        )


class Resuming:
    """A pooch downloader that goes on where an earlier one stopped (HTTP range requests)."""

    def __init__(self, partial: Path, progress: Callable[[int, int], None]):
        self.partial, self.progress = partial, progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        have = self.partial.stat().st_size if self.partial.exists() else 0
        try:
            with requests.get(
                url, stream=True, timeout=TIMEOUT_SECONDS,
                headers={"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else
                {"Accept-Encoding": "identity"},
            ) as answer:
                if answer.status_code == 416:  # asked for bytes beyond the end: all are here
                    have = -1
                else:
                    answer.raise_for_status()
                    have = self._append(answer, have)
        except requests.RequestException as error:
            raise _unreachable(url, error) from error
        shutil.move(self.partial, output_file)

    def _append(self, answer: requests.Response, have: int) -> int:
        if answer.status_code != 206:
            have = 0
        total = have + int(answer.headers.get("Content-Length", 0))
        with self.partial.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                self.progress(have, total)
        if total and have < total:
            raise requests.ConnectionError(f"{have} of {total} bytes arrived")
        return have


def download(
    dataset: Dataset, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Download and unpack a cohort into `folder`; returns the folder of what was unpacked.

    A cut connection leaves a .part file that the next call continues. The SHA-256 of the first
    complete download is written beside the archive and every later call is checked against it.
    `progress(bytes so far, bytes in all)`. Raises DownloadError.
    """
    folder = folder.resolve()  # pooch takes relative paths from the archive's folder
    folder.mkdir(parents=True, exist_ok=True)
    name = dataset.url.rsplit("/", 1)[1]
    archive, record = folder / name, folder / f"{name}.sha256"
    partial = folder / f"{name}.part"
    known = record.read_text().split()[0] if record.exists() else None
    if not archive.exists():
        size = remote_size(dataset.url)
        check_room(folder, size, partial.stat().st_size if partial.exists() else 0)
    try:
        pooch.retrieve(
            dataset.url, known_hash=known, fname=name, path=folder,
            downloader=Resuming(partial, progress),
        )
    except ValueError as error:  # pooch's word for another checksum
        raise DownloadError(
            f"{archive}: expected SHA-256 {known} as recorded in {record.name}, found another. The file "
            f"was changed, here or on the server; delete {record.name} if you trust the new one."
        ) from error
    if not zipfile.is_zipfile(archive):
        archive.unlink()
        raise DownloadError(
            f"{dataset.url}: expected a ZIP archive, found something else (a page of a proxy or a "
            "log-in?). It was removed; check the address and try again."
        )
    if known is None:
        with replacing(record) as temporary:
            temporary.write_text(f"{pooch.file_hash(str(archive))}  {name}\n")
    unpacked = folder / archive.stem
    pooch.Unzip(extract_dir=str(unpacked))(str(archive), "download", None)
    return unpacked
