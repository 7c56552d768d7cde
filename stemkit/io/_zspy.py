"""HyperSpy's zspy files, which are zarr stores: RosettaSciIO reads them with zarr 2 alone."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._output import whole_file
from ._frame_stack import FrameStack
from ._plain import to_plain
from ._rosettasciio import signal_dict, stacks_of_signals

_VERSION = "3.3"  # of HyperSpy's layout


def read(path: Path) -> list[FrameStack]:
    """Open the signals of a folder or a zip file that are frames."""
    import dask.array
    import zarr

    store: Any = zarr.storage.ZipStore(path) if zipfile.is_zipfile(path) else str(path)
    experiments: Any = zarr.open_group(store, mode="r")["Experiments"]
    signals = []
    for name in experiments.group_keys():
        group = experiments[name]
        if isinstance(store, str):
            _check_chunks(path / group["data"].path)
        data = dask.array.from_zarr(group["data"])
        signals.append(
            {
                "data": data,
                "axes": [_tree(group[f"axis-{i}"]) for i in range(data.ndim)],
                "metadata": _tree(group["metadata"]),
                "original_metadata": _tree(group["original_metadata"]),
            }
        )
    return stacks_of_signals(signals)


def _check_chunks(folder: Path) -> None:
    """Raise an error if a chunk of an array is cut: blosc would decode what follows in memory."""
    described = folder / ".zarray"
    if not described.exists():
        return
    compressor = json.loads(described.read_text()).get("compressor") or {}
    for chunk in folder.rglob("*") if compressor.get("id") == "blosc" else ():
        if not chunk.is_file() or chunk.name.startswith("."):
            continue
        with chunk.open("rb") as file:
            header = file.read(16)
        # The header ends with the number of bytes.
        if len(header) < 16 or int.from_bytes(header[12:], "little") != chunk.stat().st_size:
            raise ValueError(f"its chunk {chunk.name} is cut or longer than its header says")


def _tree(group: Any) -> dict[str, Any]:
    """Return the attributes of a group and of the groups in it as nested dicts."""
    found = {key: None if value == "_None_" else value for key, value in group.attrs.items()}
    return found | {name: _tree(group[name]) for name in group.group_keys()}


def write(path: Path, stack: FrameStack) -> None:
    """Write a stack as a folder, in version 2 of zarr's format, which HyperSpy reads."""
    import zarr

    if path.exists() and not (path / ".zgroup").exists():
        raise FileExistsError(f"{path} exists and is no zspy file: give another name")
    signal = signal_dict(stack)
    with whole_file(path) as temporary:
        root = zarr.open_group(str(temporary), mode="w", zarr_format=2)
        root.attrs.update({"file_format": "ZSpy", "file_format_version": _VERSION})
        title = signal["metadata"]["General"]["title"].replace("/", "-") or "__unnamed__"
        group = root.create_group(f"Experiments/{title}")
        group.attrs.update(signal["package_info"])
        group.create_array("data", data=np.ascontiguousarray(signal["data"]), chunks="auto")
        for index, axis in enumerate(signal["axes"]):
            _write_tree(group.create_group(f"axis-{index}"), axis)
        for name in ("metadata", "original_metadata", "learning_results", "attributes"):
            _write_tree(group.create_group(name), signal[name])


def _write_tree(group: Any, tree: Mapping[str, Any]) -> None:
    attributes = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _write_tree(group.create_group(str(key).replace("/", "-")), value)
        else:
            attributes[str(key)] = "_None_" if value is None else to_plain(value)
    group.attrs.update(attributes)
