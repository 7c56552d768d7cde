"""Unpack zip and tar archives of unknown origin."""

from __future__ import annotations

import errno
import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

# Images are compressed already: an archive that grows far beyond these limits is not one of images.
_MAX_GROWTH = 50
_MIN_SIZE_LIMIT = 2**30
_MAX_MEMBERS = 2_000_000
# Tar headers that are followed by data, such as a long name, which tarfile reads into memory.
_HEADERS_WITH_DATA = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MAX_HEADER_SIZE = 2**20
# What the standard library raises for archives that are truncated, damaged or encrypted.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into an empty folder.

    Only plain files and folders inside ``folder`` are written. After an error some of them may be
    left there.

    Parameters
    ----------
    archive : Path
        A zip file, or a tar file, plain or compressed with gzip, bzip2 or xz.
    folder : Path
        An existing empty folder.

    Raises
    ------
    ValueError
        If the file is not an archive, is truncated or damaged, would unpack to more than a set of
        images does, or holds links, devices, repeated names, or names that point outside.
    OSError
        If a file can't be written, for example because the disk is full.
    """
    check = _MemberCheck(archive)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, check)
        else:
            _unpack_tar(archive, folder, check)
    except (*_DAMAGE, OSError) as error:
        # Decoders raise an OSError for damaged data too, but without a number, or they seek to a
        # negative place.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = str(error).partition("\n")[0].rstrip(":.")
        raise ValueError(
            f"{archive} is not a zip or tar archive, or is truncated, damaged or encrypted: "
            f"{reason}. Fetch it again."
        ) from error


def _unpack_zip(archive: Path, folder: Path, check: _MemberCheck) -> None:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            check(_as_tar_member(info), str(folder))
        for info in packed.infolist():
            written = Path(packed.extract(info, folder))
            if not info.is_dir() and written.stat().st_size != info.file_size:
                raise zipfile.BadZipFile(f"{info.filename} has another size than stated")


def _as_tar_member(info: zipfile.ZipInfo) -> tarfile.TarInfo:
    """Describe a member of a zip file as one of a tar file, so that both are checked alike."""
    member = tarfile.TarInfo(info.filename)
    member.size = info.file_size
    if info.is_dir():
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(info.external_attr >> 16):  # zipfile writes its target as the content
        member.type = tarfile.SYMTYPE
    return member


def _unpack_tar(archive: Path, folder: Path, check: _MemberCheck) -> None:
    with tarfile.open(archive, tarinfo=_StrictTarInfo) as packed:
        packed.extractall(folder, filter=check)
        # The checksum of a compressed stream is checked once all of it has been read.
        while packed.fileobj is not None and packed.fileobj.read(2**20):
            pass


class _MemberCheck:
    """Check the members of an archive, one after the other, before they are written."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.max_bytes = max(_MIN_SIZE_LIMIT, _MAX_GROWTH * archive.stat().st_size)
        self.n_bytes = self.n_members = 0
        self.files: set[PurePosixPath] = set()
        self.folders: set[PurePosixPath] = set()

    def __call__(self, member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
        """Return the member as the "data" filter of the standard library changes it."""
        # The filter would let links inside the folder pass, which no set of images needs.
        why = "" if member.isdir() or member.isreg() else "is not a file or a folder"
        try:
            allowed = tarfile.data_filter(member, folder)
            is_outside = allowed.name != member.name  # it makes absolute names relative
        except (tarfile.FilterError, ValueError):  # a ValueError at a null character
            is_outside = True
        if is_outside:
            why = why or "points outside its folder"
        if why:
            raise ValueError(
                f"{self.archive} holds {member.name!r}, which {why}. Do not use it; get the set "
                "from its authors."
            )
        self._count(allowed.size)
        self._check_repeated(PurePosixPath(allowed.name), allowed.isdir())
        return allowed

    def _count(self, size: int) -> None:
        self.n_bytes += size
        self.n_members += 1
        if self.n_bytes > self.max_bytes or self.n_members > _MAX_MEMBERS:
            raise ValueError(
                f"{self.archive} would unpack to more than {self.max_bytes / 2**20:.0f} MiB or "
                f"{_MAX_MEMBERS} files, more than a set of images needs; if you are sure of its "
                "origin, unpack it by hand and pass the folder."
            )

    def _check_repeated(self, path: PurePosixPath, is_folder: bool) -> None:
        if self.files.intersection((path, *path.parents)) or (
            not is_folder and path in self.folders
        ):
            raise ValueError(
                f"{self.archive} holds {path.name!r} twice, or as both a file and a folder; get "
                "the set from its authors."
            )
        self.folders.update(path.parents, [path] if is_folder else ())
        if not is_folder:
            self.files.add(path)


class _StrictTarInfo(tarfile.TarInfo):
    """Raise an error at a damaged or missing header, which tarfile takes for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _HEADERS_WITH_DATA and info.size > _MAX_HEADER_SIZE:
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
