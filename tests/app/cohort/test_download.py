"""The public cohort is downloaded once, goes on where it broke off, and is the archive it was."""

import http.server
import threading
import zipfile

import numpy as np
import pytest
from helpers.commands import call, runner

from pgmif.cli import app
from pgmif.cohort.download import DATASETS, DownloadError, check_room, download


class Server(http.server.BaseHTTPRequestHandler):
    content, cut, requests = b"", 0, []  # `cut`: bytes after which the connection is dropped

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        type(self).requests.append(start)
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.cut:
            body, type(self).cut = body[: self.cut], 0
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    archive = tmp_path / "served.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("MRI-Segments/001/T1WI/0.dcm", np.random.default_rng(0).bytes(3_000_000))
    Server.content, Server.cut, Server.requests = archive.read_bytes(), 0, []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/data.zip"
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    dataset = DATASETS["npc277"]._replace(url=server)
    Server.cut = 1_500_000
    with pytest.raises(DownloadError, match="what was loaded so far is kept"):
        download(dataset, tmp_path / "data")
    have = (tmp_path / "data" / "data.zip.part").stat().st_size
    assert 0 < have <= 1_500_000
    place = download(dataset, tmp_path / "data")
    assert Server.requests == [0, have]
    assert (place / "MRI-Segments" / "001" / "T1WI" / "0.dcm").stat().st_size == 3_000_000
    assert not (tmp_path / "data" / "data.zip.part").exists()
    record = (tmp_path / "data" / "data.zip.sha256").read_text()
    download(dataset, tmp_path / "data")
    assert len(Server.requests) == 2  # nothing loaded twice
    assert (tmp_path / "data" / "data.zip.sha256").read_text() == record


def test_a_changed_archive_is_refused(server, tmp_path):
    dataset = DATASETS["npc277"]._replace(url=server)
    download(dataset, tmp_path / "data")
    (tmp_path / "data" / "data.zip").unlink()
    Server.content = Server.content[:-1] + b"x"
    with pytest.raises(DownloadError, match="another"):
        download(dataset, tmp_path / "data")


def test_the_download_command_says_size_and_licence_first(server, tmp_path):
    output = call("download", "npc277", "--folder", tmp_path / "d", "--url", server, "--yes")
    assert output.index("CC BY 4.0") < output.index("MB") < output.index("unpacked")
    assert "pgmif scan" in output
    assert "expected one of npc277" in call("download", "npc278", code=2)
    offline = call("download", "npc277", "--url", "http://127.0.0.1:9/data.zip", "--yes", code=1)
    assert "cannot be reached" in offline
    with pytest.raises(DownloadError, match="free space"):
        check_room(tmp_path, 10**18)


def test_a_relative_folder_and_a_page_instead_of_the_archive(server, tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    dataset = DATASETS["npc277"]._replace(url=server)
    place = download(dataset, Path("data"))
    assert place == tmp_path / "data" / "data"
    assert (place / "MRI-Segments" / "001").is_dir()
    Server.content = b"<html>log in</html>"
    with pytest.raises(DownloadError, match="expected a ZIP archive"):
        download(dataset, tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def test_the_answer_no_downloads_nothing(server, tmp_path):
    answer = runner.invoke(app, ["download", "npc277", "--folder", str(tmp_path / "d"), "--url", server],
                           input="n\n")
    assert answer.exit_code == 0
    assert not (tmp_path / "d").exists()
