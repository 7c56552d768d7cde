import errno
import io
import shutil
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from stemkit.datasets import _archives
from stemkit.datasets._archives import unpack

rng = np.random.default_rng(0)
FILES = {
    "set/noisy/0.png": rng.bytes(700),
    "set/noisy/10.png": rng.bytes(20),
    "set/gt/0.png": b"",
    "README.md": b"text " * 300,
}


def write_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files=FILES, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


KINDS = {
    "zip": write_zip,
    "tar": write_tar,
    "tar.gz": lambda path, files=FILES: write_tar(path, files, "w:gz"),
    "tar.bz2": lambda path, files=FILES: write_tar(path, files, "w:bz2"),
    "tar.xz": lambda path, files=FILES: write_tar(path, files, "w:xz"),
}


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path):
    """Return the folder to unpack to. Its parent folder must not change."""
    target = tmp_path / "around" / "target"
    target.mkdir(parents=True)
    return target


@pytest.mark.parametrize("kind", KINDS)
def test_all_files_are_unpacked(kind, tmp_path, folder):
    # The name has no extension, as that of a download.
    unpack(KINDS[kind](tmp_path / "archive"), folder)
    assert content(folder) == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_an_error(kind, tmp_path, folder):
    whole = KINDS[kind](tmp_path / "archive").read_bytes()
    step = max(1, len(whole) // 150)
    # A tar file ends with padding of zeros, which can be missing.
    least = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole) - 1
    cuts = [*range(0, least, step), least - 1]
    for number, cut in enumerate(cuts):
        (tmp_path / "cut").write_bytes(whole[:cut])
        target = folder / str(number)
        target.mkdir()
        with pytest.raises(ValueError, match=r"cut is not a zip or tar archive, or is truncated"):
            unpack(tmp_path / "cut", target)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_is_an_error_or_unpacked_correctly(kind, tmp_path, folder):
    whole = bytearray(KINDS[kind](tmp_path / "archive").read_bytes())
    n_errors = 0
    places = np.linspace(0, len(whole.rstrip(b"\0")) - 1, 150).astype(int)
    for number, place in enumerate(places):
        damaged = whole.copy()
        damaged[place] ^= 0x55
        (tmp_path / "damaged").write_bytes(damaged)
        target = folder / str(number)
        target.mkdir()
        try:
            unpack(tmp_path / "damaged", target)
        except ValueError:
            n_errors += 1
        else:
            # A plain tar has checksums of its headers only; dates and the like are not unpacked.
            assert kind == "tar" or content(target) == FILES
    assert n_errors > (10 if kind == "tar" else 75)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["target"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/evil", "//host/evil"])
def test_names_that_point_outside_are_an_error(name, kind, tmp_path, folder):
    archive = KINDS[kind](tmp_path / "archive", {"set/0.png": b"x", name: b"evil"})
    with pytest.raises(ValueError, match=r"which points outside its folder\. Do not use it"):
        unpack(archive, folder)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_name_with_a_null_character_in_a_tar_is_an_error(tmp_path, folder):
    with tarfile.open(tmp_path / "archive", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("0.png")
        info.pax_headers = {"path": "set\0/0.png"}
        archive.addfile(info)
    with pytest.raises(ValueError, match=r"points outside its folder\. Do not use it"):
        unpack(tmp_path / "archive", folder)
    assert not any(folder.iterdir())


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_links_and_devices_in_a_tar_are_an_error(kind, tmp_path, folder):
    with tarfile.open(tmp_path / "archive", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, str(tmp_path)
        archive.addfile(info)
        behind = tarfile.TarInfo("link/evil")
        archive.addfile(behind)
    with pytest.raises(ValueError, match="'link', which is not a file or a folder"):
        unpack(tmp_path / "archive", folder)
    assert not any(folder.iterdir())


def test_links_in_a_zip_are_an_error(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(tmp_path))
    with pytest.raises(ValueError, match="'link', which is not a file or a folder"):
        unpack(tmp_path / "archive", folder)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("second", ["set/0.png", "set/0.png/1.png", "./set/0.png"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_names_are_an_error(second, kind, tmp_path, folder):
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
            archive.writestr("set/0.png", b"first")
            archive.writestr(second, b"second")
    else:
        write_tar(tmp_path / "archive", {"set/0.png": b"first", second: b"second"})
        if second == "set/0.png":
            with tarfile.open(tmp_path / "archive", "a") as archive:
                archive.addfile(tarfile.TarInfo(second))
    with pytest.raises(ValueError, match="twice, or as both a file and a folder"):
        unpack(tmp_path / "archive", folder)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_grows_too_much_is_an_error(kind, tmp_path, folder, monkeypatch):
    monkeypatch.setattr(_archives, "_MIN_SIZE_LIMIT", 10_000)
    archive = KINDS[kind](tmp_path / "archive", {"0": b"1", "1": bytes(10_000_000)})
    with pytest.raises(ValueError, match="would unpack to more than 0 MiB"):
        unpack(archive, folder)
    assert sum(len(c) for c in content(folder).values()) < 10_000


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_huge_header_is_an_error_before_it_is_read(kind, tmp_path, folder):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 2**32
    first = tarfile.TarInfo("0.png").tobuf()
    (tmp_path / "archive").write_bytes(first + info.tobuf() + bytes(2**20))
    with pytest.raises(ValueError, match="a header of 4294967296 bytes"):
        unpack(tmp_path / "archive", folder)


def test_long_names_are_unpacked(tmp_path, folder):
    files = {f"{'a' * 150}/{'b' * 150}.png": b"x"}
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        target = folder / str(format)
        target.mkdir()
        with tarfile.open(tmp_path / "archive", "w", format=format) as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        unpack(tmp_path / "archive", target)
        assert content(target) == files


def test_a_zip_with_a_wrong_size_is_an_error(tmp_path, folder):
    packed = write_zip(tmp_path / "archive", {"0.png": bytes(5000)}).read_bytes()
    for true, said in ((5000, 50), (5000, 50_000)):
        lie = packed.replace(true.to_bytes(4, "little"), said.to_bytes(4, "little"))
        assert lie != packed
        (tmp_path / "lie").write_bytes(lie)
        target = folder / str(said)
        target.mkdir()
        with pytest.raises(ValueError, match="damaged"):
            unpack(tmp_path / "lie", target)


def test_a_file_of_another_kind_is_an_error(tmp_path, folder):
    (tmp_path / "notes.txt").write_text("no archive\n" * 100)
    with pytest.raises(ValueError, match=r"notes.txt is not a zip or tar archive"):
        unpack(tmp_path / "notes.txt", folder)


def test_an_encrypted_zip_is_an_error(tmp_path, folder):
    packed = bytearray(write_zip(tmp_path / "archive", {"0.png": b"secret"}).read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(header) + flags] |= 1
    (tmp_path / "archive").write_bytes(packed)
    with pytest.raises(ValueError, match="encrypted"):
        unpack(tmp_path / "archive", folder)


def test_too_many_members_are_an_error(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(_archives, "_MAX_MEMBERS", 3)
    with pytest.raises(ValueError, match="or 3 files"):
        unpack(write_zip(tmp_path / "archive"), folder)
    assert content(folder) == {}


@pytest.mark.parametrize("kind, module", [("zip", shutil), ("tar", tarfile)])
def test_a_full_disk_is_not_reported_as_damage(kind, module, tmp_path, folder, monkeypatch):
    def copy(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = KINDS[kind](tmp_path / "archive")
    monkeypatch.setattr(module, "copyfileobj", copy)
    with pytest.raises(OSError, match="No space left on device"):
        unpack(archive, folder)


def test_no_member_is_written_with_its_own_permissions(tmp_path, folder):
    with tarfile.open(tmp_path / "archive", "w") as archive:
        info = tarfile.TarInfo("0.png")
        info.mode = 0o6777
        archive.addfile(info)
    unpack(tmp_path / "archive", folder)
    assert (folder / "0.png").stat().st_mode & 0o7022 == 0
