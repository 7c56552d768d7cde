import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pooch
import pytest

from stemkit.datasets import (
    _fetch_cache,
    fetch_nuc,
    fetch_sfin,
    fetch_temimagenet,
)
from stemkit.exceptions import InvalidParameterError

from .loopback import serve
from .test_archives import write_tar, write_zip

SHAPE = (12, 16)
MISSING_HOST = "http://127.0.0.1:9/set.zip"


def frame(seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(image):
    return iio.imwrite("<bytes>", image, extension=".png")


def make_set(*folders, n=12, prefix=""):
    """Return the files of a set by name; frame i of folder k is frame(100 * k + i)."""
    return {
        f"{prefix}{folder}/{i}.png": png(frame(100 * k + i))
        for k, folder in enumerate(folders)
        for i in range(n)
    }


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def stack(k, numbers):
    return np.stack([frame(100 * k + i) for i in numbers]).astype(np.float32)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch waits before it tries again
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(write_zip(tmp_path / "served", make_set("noisy", "gt", n=3)).read_bytes()) as state:
        yield state


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_folder_is_read_in_numerical_order(tmp_path):
    data = fetch_nuc(write_folder(tmp_path, make_set("noisy", "gt")))
    assert data.filenames == [f"{i}.png" for i in range(12)]
    np.testing.assert_array_equal(data.noisy, stack(0, range(12)))
    np.testing.assert_array_equal(data.target, stack(1, range(12)))
    assert data.noisy.dtype == data.target.dtype == np.float32
    assert data.labels.gt is data.target
    assert data.folder == str(tmp_path)
    assert data.DESCR.startswith("NUC")


def test_each_set_has_its_published_folders(tmp_path):
    labels = ("noBackgroundnoNoise", "gaussianMask", "circularMask")
    source = write_folder(
        tmp_path, make_set("image", *labels, prefix="TEM-ImageNet-v1.3-master/", n=2)
    )
    data = fetch_temimagenet(source)
    np.testing.assert_array_equal(data.target, stack(1, range(2)))
    assert list(data.labels) == ["noBackgroundnoNoise"]
    data = fetch_temimagenet(source, labels=["circularMask", "gaussianMask"])
    np.testing.assert_array_equal(data.target, stack(3, range(2)))
    np.testing.assert_array_equal(data.labels.gaussianMask, stack(2, range(2)))
    source = write_folder(tmp_path, make_set("noisy", "gt_enhance", "gt_detect", n=2))
    np.testing.assert_array_equal(fetch_sfin(source).target, stack(1, range(2)))
    data = fetch_sfin(source, labels="gt_detect")
    np.testing.assert_array_equal(data.target, stack(2, range(2)))


def test_n_samples_and_dtype_save_memory(tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt"))
    data = fetch_nuc(source, n_samples=3, dtype=np.uint8)
    assert data.noisy.dtype == np.uint8
    np.testing.assert_array_equal(data.noisy, stack(0, range(3)))
    (source / "noisy" / "0.png").write_bytes(png(frame(0).astype(np.uint16) * 200))
    with pytest.raises(ValueError, match=r"^dtype uint8 can't hold the values of .*0.png"):
        fetch_nuc(source, n_samples=3, dtype=np.uint8)


def test_labels_may_be_finer_than_the_frames(tmp_path):
    files = make_set("image", "noNoiseUpinterpolation2x", n=2)
    for i in range(2):
        files[f"noNoiseUpinterpolation2x/{i}.png"] = png(frame(i, (24, 32)))
    data = fetch_temimagenet(write_folder(tmp_path, files), labels="noNoiseUpinterpolation2x")
    assert data.target.shape == (2, 24, 32)


def test_a_part_is_chosen_by_name_if_there_are_several(tmp_path):
    for k, part in enumerate(("haadf_data", "haadf_data_test", "deep/er/bf_data")):
        write_folder(tmp_path / part, make_set("noisy", "gt_enhance", n=k + 1))
    with pytest.raises(ValueError, match=r"in several places \('deep/er/bf_data', 'haadf_data', "):
        fetch_sfin(tmp_path)
    assert len(fetch_sfin(tmp_path, subset="haadf_data_test").noisy) == 2
    assert len(fetch_sfin(tmp_path, subset="er").noisy) == 3
    # The folder of the subset itself is accepted too.
    assert len(fetch_sfin(tmp_path / "haadf_data", subset="haadf_data").noisy) == 1
    with pytest.raises(ValueError, match=r"no folders 'noisy' and 'gt_enhance' .* within 'train'"):
        fetch_sfin(tmp_path, subset="train")


def test_files_that_systems_add_are_ignored(tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt", n=2, prefix="NUC/"))
    write_folder(source, make_set("noisy", "gt", n=2, prefix="__MACOSX/"))
    write_folder(source, {"NUC/noisy/._0.png": b"", "NUC/noisy/Thumbs.db": b"", "NUC/x.txt": b""})
    assert fetch_nuc(source).filenames == ["0.png", "1.png"]


def test_a_missing_counterpart_is_named_or_left_out(tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt"))
    (source / "gt" / "3.png").unlink()
    (source / "noisy" / "11.png").unlink()
    with pytest.raises(ValueError, match=r"gt lacks 3.png, and 2 images in all lack"):
        fetch_nuc(source)
    data = fetch_nuc(source, on_missing="skip")
    kept = [i for i in range(12) if i not in (3, 11)]
    assert data.filenames == [f"{i}.png" for i in kept]
    np.testing.assert_array_equal(data.noisy, stack(0, kept))
    np.testing.assert_array_equal(data.target, stack(1, kept))


def test_a_truncated_png_is_an_error_unless_it_has_all_pixels(tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt", n=2))
    whole = png(frame(1))
    errors = []
    for cut in range(len(whole)):
        (source / "noisy" / "1.png").write_bytes(whole[:cut])
        try:
            data = fetch_nuc(source)
        except ValueError:
            errors.append(cut)
        else:
            np.testing.assert_array_equal(data.noisy, stack(0, range(2)))
    # The pixels are followed by their checksums and the end marker.
    assert errors == list(range(len(errors)))
    assert len(errors) > len(whole) - 24


def test_a_damaged_png_is_an_error_or_read_correctly(tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt", n=2))
    whole = bytearray(png(frame(1)))
    n_errors, places = 0, range(8, len(whole), 5)
    for place in places:
        damaged = whole.copy()
        damaged[place] ^= 0x55
        (source / "noisy" / "1.png").write_bytes(damaged)
        try:
            data = fetch_nuc(source)
        except ValueError:
            n_errors += 1
        else:
            np.testing.assert_array_equal(data.noisy, stack(0, range(2)))
    assert n_errors > 0.8 * len(places)


def test_images_of_another_size_are_named(tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt", n=3))
    (source / "gt" / "2.png").write_bytes(png(frame(0, (12, 15))))
    with pytest.raises(ValueError, match=r"2.png has \(12, 15\) px but 0.png has \(12, 16\)"):
        fetch_nuc(source)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"n_samples": 0}, "^n_samples must be an int of at least 1 or None; got 0"),
        ({"n_samples": 2.5}, "^n_samples must be"),
        ({"on_missing": "ignore"}, '^on_missing must be one of "raise" and "skip"; got'),
        ({"sha256": True}, "^sha256 must be a str or None; got True"),
        ({"subset": 3}, "^subset must be a str or None; got 3"),
        ({"url": 5}, "^url must be a str or None; got 5"),
        ({"data_home": 5}, "^data_home must be a path or None; got 5"),
        ({"dtype": "nonsense"}, "^dtype must be a NumPy dtype of real numbers; got 'nonsense'"),
        ({"dtype": complex}, "^dtype must be a NumPy dtype of real numbers"),
        ({"download_if_missing": "no"}, "^download_if_missing must be True or False; got 'no'"),
        ({"verbose": -1}, "^verbose must be"),
    ],
)
def test_invalid_arguments_are_named(arguments, what, tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt", n=1))
    with pytest.raises(InvalidParameterError, match=what):
        fetch_nuc(source, **arguments)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"url": MISSING_HOST}, "^source and url exclude each other"),
        ({"sha256": "abc"}, "^sha256 must be 64 hexadecimal digits"),
    ],
)
def test_arguments_that_do_not_go_together_are_named(arguments, what, tmp_path):
    source = write_folder(tmp_path, make_set("noisy", "gt", n=1))
    with pytest.raises(ValueError, match=what):
        fetch_nuc(source, **arguments)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/set.zip", "set.zip"])
def test_only_http_addresses_are_fetched(url, tmp_path):
    with pytest.raises(ValueError, match=r"^url must start with http:// or https://"):
        fetch_nuc(url=url, sha256="0" * 64, data_home=tmp_path)


def test_labels_and_folders_must_not_be_empty(tmp_path):
    for labels in ([], "", 3, [3]):
        with pytest.raises(ValueError, match=r"^labels must be|holds no folders 'noisy' and ''"):
            fetch_sfin(tmp_path, labels=labels)
    with pytest.raises(ValueError, match="holds no folders 'noisy' and 'gt' side by side; check"):
        fetch_nuc(tmp_path)
    (tmp_path / "noisy").mkdir()
    (tmp_path / "gt").mkdir()
    with pytest.raises(ValueError, match="holds no png that is in all of noisy, gt"):
        fetch_nuc(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^source does not exist: .*nowhere"):
        fetch_nuc(tmp_path / "nowhere")
    with pytest.raises(InvalidParameterError, match=r"^source must be a path or None; got 0"):
        fetch_nuc(0)


def test_without_a_source_the_error_names_where_to_get_one(tmp_path):
    for fetch, place in (
        (fetch_temimagenet, "xinhuolin/TEM-ImageNet-v1.3"),
        (fetch_sfin, "HeasonLee/SFIN"),
        (fetch_nuc, "HeasonLee/SCGN"),
    ):
        with pytest.raises(ValueError, match=f"^source is missing: .* from .*{place}"):
            fetch(data_home=tmp_path)
        with pytest.raises(ValueError, match=f"^sha256 is missing: .* from .*{place}"):
            fetch(url=MISSING_HOST, data_home=tmp_path)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_an_archive_is_unpacked_once(write, tmp_path, monkeypatch):
    archive = write(tmp_path / "NUC", make_set("noisy", "gt", n=2, prefix="NUC/test/"))
    home = tmp_path / "home"
    data = fetch_nuc(archive, data_home=home)
    np.testing.assert_array_equal(data.noisy, stack(0, range(2)))
    monkeypatch.setattr(_fetch_cache, "unpack", None)
    again = fetch_nuc(archive, data_home=home, sha256=sha256(archive.read_bytes()).upper())
    np.testing.assert_array_equal(again.noisy, data.noisy)
    assert again.folder == data.folder
    with pytest.raises(ValueError, match=r"NUC has the SHA-256 .*, not 0000"):
        fetch_nuc(archive, data_home=home, sha256="0" * 64)


def cached(home):
    """Return the files in the cache, except the locks, which are empty files."""
    return sorted(p.name for p in home.rglob("*") if p.suffix != ".lock" and p != home / "nuc")


def test_a_download_is_kept_and_not_requested_again(server, tmp_path):
    home, checksum = tmp_path / "home", sha256(server.content)
    data = fetch_nuc(url=server.url, sha256=checksum, data_home=home)
    np.testing.assert_array_equal(data.noisy, stack(0, range(3)))
    assert server.n_requests == 1
    again = fetch_nuc(url=MISSING_HOST, sha256=checksum, data_home=home, download_if_missing=False)
    np.testing.assert_array_equal(again.target, data.target)
    folders = [path for path in (home / "nuc").iterdir() if path.suffix != ".lock"]
    assert [folder.name for folder in folders] == [checksum[:16]]  # the archive is removed


def test_a_download_that_was_cut_is_tried_again(server, tmp_path):
    server.cuts, server.status = [len(server.content) // 2, 0], [200, 503]
    data = fetch_nuc(url=server.url, sha256=sha256(server.content), data_home=tmp_path / "home")
    np.testing.assert_array_equal(data.noisy, stack(0, range(3)))
    assert server.n_requests == 4


def test_a_download_that_always_fails_is_an_error_and_leaves_nothing(server, tmp_path):
    home, checksum = tmp_path / "home", sha256(server.content)
    server.cuts = [100] * 9
    with pytest.raises(OSError, match=rf"^{server.url} can't be fetched: .*Check url"):
        fetch_nuc(url=server.url, sha256=checksum, data_home=home)
    assert server.n_requests == 4
    assert cached(home) == []
    with pytest.raises(OSError, match=r"/missing can't be fetched: 404 .*Check url"):
        fetch_nuc(url=server.url + "/missing", sha256=checksum, data_home=home)
    with pytest.raises(OSError, match=r"127.0.0.1:9/set.zip can't be fetched"):
        fetch_nuc(url=MISSING_HOST, sha256=checksum, data_home=home)
    assert cached(home) == []


def test_without_permission_nothing_is_downloaded(server, tmp_path):
    with pytest.raises(OSError, match=r"nuc is not in .*home.*, and download_if_missing is False"):
        fetch_nuc(
            url=server.url,
            sha256=sha256(server.content),
            data_home=tmp_path / "home",
            download_if_missing=False,
        )
    assert server.n_requests == 0


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(ValueError, match="does not have the SHA-256 0000"):
        fetch_nuc(url=server.url, sha256="0" * 64, data_home=tmp_path / "home")
    assert cached(tmp_path / "home") == []


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "noisy/../../../evil.png"])
def test_an_archive_with_names_that_point_outside_leaves_nothing(name, server, tmp_path):
    files = make_set("noisy", "gt", n=2) | {name: b"evil"}
    server.content = write_zip(tmp_path / "bad", files).read_bytes()
    with pytest.raises(ValueError, match="which points outside its folder"):
        fetch_nuc(url=server.url, sha256=sha256(server.content), data_home=tmp_path / "home")
    assert cached(tmp_path / "home") == []
    assert not list(tmp_path.rglob("evil*"))


def test_a_disk_that_fills_while_unpacking_leaves_nothing(server, tmp_path, monkeypatch):
    home = tmp_path / "home"
    arguments = {"url": server.url, "sha256": sha256(server.content), "data_home": home}
    copied = []

    def copy(source, target, *length):
        copied.append(source)
        if len(copied) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        target.write(source.read())

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", copy)
        with pytest.raises(OSError, match="nothing is left there: No space left on device"):
            fetch_nuc(**arguments)
    assert len(copied) == 4
    assert cached(home) == []
    np.testing.assert_array_equal(fetch_nuc(**arguments).noisy, stack(0, range(3)))


def test_a_disk_that_fills_while_downloading_leaves_nothing(server, tmp_path, monkeypatch):
    home = tmp_path / "home"
    arguments = {"url": server.url, "sha256": sha256(server.content), "data_home": home}

    def fail(self, chunk_size):
        self.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("requests.Response.iter_content", fail)
        with pytest.raises(OSError, match="is full; make room") as caught:
            fetch_nuc(**arguments)
    assert caught.value.errno == errno.ENOSPC
    assert cached(home) == []
    np.testing.assert_array_equal(fetch_nuc(**arguments).noisy, stack(0, range(3)))


def test_progress_is_shown_on_request(server, tmp_path, capsys):
    arguments = {"url": server.url, "sha256": sha256(server.content)}
    fetch_nuc(**arguments, data_home=tmp_path / "quiet")
    assert "%" not in capsys.readouterr().err
    fetch_nuc(**arguments, data_home=tmp_path / "loud", verbose=1)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("status, n_requests", [(403, 1), (404, 1), (410, 1), (500, 4), (429, 4)])
def test_a_refused_download_is_not_tried_again(server, tmp_path, status, n_requests):
    server.status = [status] * 9
    with pytest.raises(OSError, match=rf"^{server.url} can't be fetched: {status} .*Check url"):
        fetch_nuc(url=server.url, sha256=sha256(server.content), data_home=tmp_path / "home")
    assert server.n_requests == n_requests
    assert cached(tmp_path / "home") == []


def test_messages_of_pooch_are_shown_on_request(server, tmp_path):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = pooch.get_logger()
    state = logger.level, list(logger.filters)
    logger.addHandler(handler)
    try:
        arguments = {"url": server.url, "sha256": sha256(server.content)}
        server.status = [503]
        fetch_nuc(**arguments, data_home=tmp_path / "quiet")
        assert records == []
        assert (logger.level, list(logger.filters)) == state
        fetch_nuc(**arguments, data_home=tmp_path / "loud", verbose=1)
        assert "Downloading" in records[0].getMessage()
    finally:
        logger.removeHandler(handler)


KILLED = """
import shutil, sys, time
from stemkit.datasets import fetch_nuc
original = shutil.copyfileobj
def slow(*args):
    original(*args)
    print("unpacking", flush=True)
    time.sleep(60)
shutil.copyfileobj = slow
fetch_nuc(sys.argv[1], data_home=sys.argv[2])
"""


def test_what_a_killed_process_leaves_is_not_used(tmp_path):
    archive = write_zip(tmp_path / "NUC", make_set("noisy", "gt", n=2))
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, archive, home], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "unpacking\n"
    process.kill()
    process.communicate()
    assert any("partial" in name for name in cached(home))
    np.testing.assert_array_equal(fetch_nuc(archive, data_home=home).noisy, stack(0, range(2)))
    assert not any("partial" in name for name in cached(home))


TOGETHER = """
import sys
from stemkit.datasets import fetch_nuc
data = fetch_nuc(url=sys.argv[1], sha256=sys.argv[2], data_home=sys.argv[3])
print(data.noisy.shape)
"""


def test_two_processes_download_once(server, tmp_path):
    server.pause = 1.0  # so that the second process starts meanwhile
    command = [
        sys.executable,
        "-c",
        TOGETHER,
        server.url,
        sha256(server.content),
        tmp_path / "home",
    ]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in processes] == ["(3, 12, 16)\n"] * 2
    assert server.n_requests == 1


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, stemkit.datasets\n"
        "heavy = ['torch', 'tqdm', 'pooch', 'requests', 'filelock', 'matplotlib', 'ase']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
