"""Archives of corpora are downloaded, resumed, checked and unpacked safely."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from soundsright.adapters.speech.corpus_fetch import download_archive, unpack_archive
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data.catalogue import CATALOGUE, RemoteFile, corpus_entry
from soundsright.data.verify import verified


class FileServer:
    """Serves files with byte ranges. It can break off once, answer with errors first, or ignore ranges."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: int | None = None
        self.errors: list[int] = []
        self.ranges = True
        self.requested_ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requested_ranges.append(self.headers.get("range"))
                data = server.files.get(self.path.lstrip("/"))
                if server.errors or data is None:
                    self.send_response(server.errors.pop(0) if server.errors else 404)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                start = int(self.headers["range"].split("=")[1].rstrip("-")) if self.headers.get("range") else 0
                partial = bool(start) and server.ranges
                rest = data[start:] if partial else data
                self.send_response(206 if partial else 200)
                self.send_header("content-length", str(len(rest)))
                self.end_headers()
                if server.break_after is not None:
                    rest, server.break_after = rest[: server.break_after], None
                self.wfile.write(rest)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def file(self, name: str, data: bytes, *, checksum: str | None = "right") -> RemoteFile:
        self.files[name] = data
        if checksum == "right":
            checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return RemoteFile(f"http://127.0.0.1:{self.server.server_port}/{name}", checksum)


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


def quiet(name: str, have: int, total: int | None) -> None:
    pass


DATA = bytes(range(256)) * 4_000


def test_an_archive_is_downloaded_completely_and_checked(server: FileServer, tmp_path: Path) -> None:
    progress: list[tuple[int, int | None]] = []
    path = download_archive(
        server.file("a.zip", DATA), tmp_path, progress=lambda n, have, total: progress.append((have, total))
    )
    assert path.read_bytes() == DATA
    assert progress[-1] == (len(DATA), len(DATA))
    assert verified(tmp_path).problems == {}


def test_an_interrupted_download_resumes_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.break_after = 300_000
    path = download_archive(server.file("a.zip", DATA), tmp_path, progress=quiet, pause_s=0.01)
    assert path.read_bytes() == DATA
    assert server.requested_ranges == [None, "bytes=300000-"]


def test_a_server_without_ranges_sends_everything_again(server: FileServer, tmp_path: Path) -> None:
    server.break_after, server.ranges = 300_000, False
    assert download_archive(server.file("a.zip", DATA), tmp_path, progress=quiet, pause_s=0.01).read_bytes() == DATA


def test_a_complete_archive_is_not_downloaded_again(server: FileServer, tmp_path: Path) -> None:
    file = server.file("a.zip", DATA)
    download_archive(file, tmp_path, progress=quiet)
    download_archive(file, tmp_path, progress=quiet)
    assert len(server.requested_ranges) == 1


def test_a_wrong_checksum_is_named_and_the_file_removed(server: FileServer, tmp_path: Path) -> None:
    file = server.file("a.zip", DATA, checksum="md5:" + "0" * 32)
    with pytest.raises(InfrastructureFault, match=r"has the md5 .*, not 000000000000"):
        download_archive(file, tmp_path, progress=quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_server_error_is_tried_again_and_a_missing_file_is_not(server: FileServer, tmp_path: Path) -> None:
    server.errors = [503, 500]
    assert download_archive(server.file("a.zip", DATA), tmp_path, progress=quiet, pause_s=0.01).exists()
    gone = RemoteFile(server.file("b.zip", b"").url + "-moved")
    with pytest.raises(UsageError, match="404"):
        download_archive(gone, tmp_path, progress=quiet, pause_s=0.01)


def test_without_a_published_checksum_the_first_one_is_recorded_and_verified(
    server: FileServer, tmp_path: Path
) -> None:
    path = download_archive(server.file("a.zip", DATA, checksum=None), tmp_path, progress=quiet)
    path.write_bytes(b"changed")
    assert verified(tmp_path).problems == {str(path): "differs from its SHA-256"}


def test_archives_are_unpacked_inside_their_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("x/1.wav", b"1")
        bundle.writestr("x/2.wav", b"2")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("y/3.wav")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"3"))
    assert unpack_archive(tmp_path / "a.zip", tmp_path / "out") == 2
    assert unpack_archive(tmp_path / "b.tar.gz", tmp_path / "out") == 1
    assert (tmp_path / "out/y/3.wav").read_bytes() == b"3"


def test_archives_with_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("../escaped.txt", b"1")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("../escaped.txt")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"3"))
    for name in ("a.zip", "b.tar.gz"):
        with pytest.raises(UsageError):
            unpack_archive(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "escaped.txt").exists()


def test_a_file_that_is_not_an_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(UsageError, match=r"a\.zip cannot be unpacked"):
        unpack_archive(tmp_path / "a.zip", tmp_path)


def test_the_catalogue_states_licences_and_which_forbid_commercial_use() -> None:
    assert {e.name for e in CATALOGUE if e.non_commercial} == {"wham", "ears"}
    assert all(e.licence and e.homepage and e.files for e in CATALOGUE)
    assert {e.name for e in CATALOGUE} >= {"demand", "arni", "librispeech", "vctk", "musan", "openslr28"}


def test_parts_are_chosen_by_name() -> None:
    entry = corpus_entry("LibriSpeech")
    assert [f.name for f in entry.chosen(())] == ["train-clean-100.tar.gz"]
    assert [f.name for f in entry.chosen(("dev-clean",))] == ["dev-clean.tar.gz"]
    with pytest.raises(UsageError, match=r"no part 'dev'.*dev-clean"):
        entry.chosen(("dev",))
    with pytest.raises(UsageError, match="Unknown corpus 'timit'"):
        corpus_entry("timit")
