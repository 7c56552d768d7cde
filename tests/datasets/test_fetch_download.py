import errno
import hashlib

import numpy as np
import pytest
import requests

from stemkit.datasets import _fetch_download
from stemkit.datasets._fetch_download import download

from .loopback import serve

CONTENT = np.random.default_rng(0).bytes(1_000_000)
K = _fetch_download._BLOCK
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(_fetch_download, "_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(CONTENT) as state:
        yield state


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives(server, tmp_path):
    download(server.url + "/set.zip", tmp_path / "set", SHA256)
    assert (tmp_path / "set").read_bytes() == CONTENT
    assert names(tmp_path) == ["set"]
    assert server.asked == [None]


def test_what_is_there_is_not_asked_for(server, tmp_path):
    (tmp_path / "set").write_bytes(CONTENT)
    download("http://127.0.0.1:9/nobody-listens", tmp_path / "set", SHA256)
    assert server.asked == []


def test_a_cut_download_goes_on_within_a_call(server, tmp_path):
    server.cuts = [20 * K, K + 1, 10 * K]
    download(server.url, tmp_path / "set", SHA256)
    assert (tmp_path / "set").read_bytes() == CONTENT
    assert server.asked == [None, *(f"bytes={n * K}-" for n in (20, 21, 31))]


def test_a_cut_download_goes_on_in_another_call(server, tmp_path):
    server.cuts = [20 * K] + [0] * _fetch_download._TRIES
    with pytest.raises(OSError, match=r"failed 4 times in a row .* go on from 327680 bytes"):
        download(server.url, tmp_path / "set", SHA256)
    assert names(tmp_path) == ["set.part"]  # never under the name of the whole
    server.asked.clear()
    download(server.url, tmp_path / "set", SHA256)
    assert server.asked == ["bytes=327680-"]
    assert (tmp_path / "set").read_bytes() == CONTENT
    assert names(tmp_path) == ["set"]


def test_a_server_that_cannot_go_on_starts_anew(server, tmp_path):
    server.ranges, server.cuts = False, [20 * K]
    download(server.url, tmp_path / "set", SHA256)
    assert server.asked == [None, "bytes=327680-"]
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_server_that_always_cuts_is_given_up(server, tmp_path):
    server.ranges, server.cuts = False, [5 * K, 3 * K, 5 * K, 4 * K, 5 * K, K, 7]
    with pytest.raises(OSError, match="failed 4 times in a row"):
        download(server.url, tmp_path / "set", SHA256)
    assert len(server.asked) == 5


def test_a_wrong_range_is_not_added(server, tmp_path):
    server.cuts, server.offset_error = [20 * K], 10
    download(server.url, tmp_path / "set", SHA256)
    assert server.asked == [None, "bytes=327680-", None]
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_part_that_is_whole_is_taken(server, tmp_path):
    (tmp_path / "set.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "set", SHA256)
    assert (tmp_path / "set").read_bytes() == CONTENT
    assert names(tmp_path) == ["set"]


@pytest.mark.parametrize("size", [1000, 2_000_000])
def test_a_part_of_something_else_is_never_taken(server, tmp_path, size):
    (tmp_path / "set.part").write_bytes(b"?" * size)
    with pytest.raises(ValueError, match=rf"127.0.0.1:\d+ gave something else .* {SHA256}"):
        download(server.url, tmp_path / "set", SHA256)
    assert names(tmp_path) == []
    download(server.url, tmp_path / "set", SHA256)
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(ValueError, match="gave something else than the file with the SHA-256 0000"):
        download(server.url, tmp_path / "set", "0" * 64)
    assert names(tmp_path) == []


def test_a_missing_file_is_asked_for_once(server, tmp_path):
    with pytest.raises(OSError, match=r"/missing can't be fetched: 404 Not Found\. Check url"):
        download(server.url + "/missing", tmp_path / "set", SHA256)
    assert server.asked == [None]
    assert "set" not in names(tmp_path)


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.status = [503, 500]
    download(server.url, tmp_path / "set", SHA256)
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_no_server_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch_download, "_PAUSE", 0.0)
    with serve(b"") as state:
        url = state.url
    with pytest.raises(OSError, match=r"the connection failed 4 times in a row \(Connection"):
        download(url, tmp_path / "set", SHA256)


def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
    original = requests.Response.iter_content

    def fills_the_disk(self, size):
        blocks = original(self, size)
        yield next(blocks)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(requests.Response, "iter_content", fills_the_disk)
    with pytest.raises(OSError, match="is full and nothing is left there; make room") as caught:
        download(server.url, tmp_path / "set", SHA256)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/set.zip", "set.zip"])
def test_only_http_is_spoken(url, tmp_path):
    with pytest.raises(ValueError, match=r"^url must start with http:// or https://"):
        download(url, tmp_path / "set", SHA256)


def test_progress_is_shown_where_it_is_asked_for(server, tmp_path, capsys):
    server.cuts = [20 * K]
    download(server.url, tmp_path / "set", SHA256, verbose=1)
    assert "1.00M/1.00M" in capsys.readouterr().err
