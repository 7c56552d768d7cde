"""Unpack archives from strangers: all of it, or nothing and a reason."""

from __future__ import annotations

import errno
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

# Png files hardly shrink when they are packed: what grows far beyond this is no set of images.
_MOST_GROWTH = 50
_MOST_BYTES_ANYWAY = 2**30
_MOST_MEMBERS = 2_000_000
_BLOCK = 2**20
# Headers of a tar that go on, as with a long name, and are read into memory as a whole.
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MOST_HEADER = 2**20

# What the standard library's readers raise for archives that are cut short or damaged.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


class _Member(NamedTuple):
    name: str
    is_folder: bool
    is_file: bool
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into an empty folder.

    Nothing outside ``folder`` is written, whatever the archive says, and only plain files and
    folders are made. An error leaves a part of the files: unpack to where that does no harm.

    Parameters
    ----------
    archive : Path
        A zip file, or a tar file as it is or packed with gzip, bzip2 or xz.
    folder : Path
        Where to; it exists and is empty.

    Raises
    ------
    ValueError
        If it is no archive, is cut short or damaged, holds links, devices, the same name twice or
        names that lead out of the folder, or would grow beyond what images can.
    OSError
        If it can't be written, as on a full disk.
    """
    most = max(_MOST_BYTES_ANYWAY, _MOST_GROWTH * archive.stat().st_size)
    n_bytes = 0
    try:
        with _members(archive) as members:
            for index, member in enumerate(members):
                target = _target(folder, member, archive)
                n_bytes += member.size
                if n_bytes > most or index >= _MOST_MEMBERS:
                    raise ValueError(
                        f"{archive} would unpack to more than {most / 2**20:.0f} MiB or "
                        f"{_MOST_MEMBERS} files, which images don't; unpack it by hand if you "
                        "trust it, and give the folder."
                    )
                if member.is_folder:
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _write(member, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"{archive} holds {Path(str(error.filename)).name!r} twice, or as both file and "
            "folder; fetch it again from a place you trust."
        ) from error
    except (*_DAMAGE, RuntimeError, OSError) as error:
        # Decoders raise an OSError without a number for damage, or seek to where no file can be;
        # from the system it has a number.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = str(error).partition("\n")[0].rstrip(":.")
        raise ValueError(
            f"{archive} is no zip or tar archive, or is cut short, damaged or encrypted: {reason}. "
            "Fetch it again."
        ) from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield (_of_zip(packed, info) for info in packed.infolist())
        return
    with tarfile.open(archive, tarinfo=_StrictTarInfo) as packed:
        yield (_of_tar(packed, info) for info in packed)
        # The checksum of the packed stream comes last, and is looked at when it is read.
        while packed.fileobj is not None and packed.fileobj.read(_BLOCK):
            pass


def _of_zip(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was not packed on Unix
    return _Member(
        info.orig_filename,
        is_folder=info.is_dir() and kind in (0, stat.S_IFDIR),
        is_file=not info.is_dir() and kind in (0, stat.S_IFREG),
        size=info.file_size,
        open=lambda: packed.open(info),
    )


def _of_tar(packed: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def open_member() -> IO[bytes]:
        file = packed.extractfile(info)
        assert file is not None  # it is only opened where it is a plain file
        return file

    return _Member(info.name, info.isdir(), info.isreg(), info.size, open_member)


class _StrictTarInfo(tarfile.TarInfo):
    """Takes for the end of an archive only what marks it, and no damaged or missing header."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _LONG_HEADERS and info.size > _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return info

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the stubs
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _target(folder: Path, member: _Member, archive: Path) -> Path:
    """Where a member goes to; an error if that is out of the folder on any system."""
    path = PurePosixPath(member.name)
    leads_out = (
        path.is_absolute()
        # Drives, streams and other separators of Windows, which also drops final dots and spaces.
        or any(sign in member.name for sign in ":\\\0")
        or any(not part.strip(" .") for part in path.parts)
    )
    if leads_out or not (member.is_folder or member.is_file):
        why = "leads out of its folder" if leads_out else "is neither a file nor a folder"
        raise ValueError(
            f"{archive} holds {member.name!r}, which {why}. Don't trust it; fetch the set from "
            "where its authors point to."
        )
    return folder.joinpath(*path.parts)


def _write(member: _Member, target: Path) -> None:
    left = member.size
    # "x": a name that comes twice is an error and overwrites nothing.
    with member.open() as source, target.open("xb") as file:
        while left and (block := source.read(min(left, _BLOCK))):
            file.write(block)
            left -= len(block)
        if left or source.read(1):  # reading on to the end is what checks a zip's checksum
            raise tarfile.ReadError(f"{member.name} is not as long as it should be")
