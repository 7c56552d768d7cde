"""Files that ``torch.save`` wrote, read without executing a pickle and with their checksums."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch


def load_torch_file(content: bytes) -> Any:
    """Read the content of a file, on the CPU; any error is raised that a decoder raises.

    torch itself does not compare the checksums of the archive. The files of its versions before
    1.6 have none.
    """
    file = io.BytesIO(content)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{damaged} has another checksum")
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)
