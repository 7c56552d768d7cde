"""Read sets of images whose folders hold files of the same names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..io import read_stack

OnMissing = Literal["raise", "skip"]
# Archives nest their folders less deeply. The limit matters if the root of a disk is given.
_MAX_DEPTH = 4


def find_parent(root: Path, folders: Sequence[str], subset: str | None) -> Path:
    """Return the one folder at or below ``root`` that holds all of ``folders``.

    Parameters
    ----------
    root : Path
        Where to search.
    folders : sequence of str
        Names of the folders.
    subset : str or None
        Name of the wanted parent, or of a folder above it, if there are several.
    """
    found = [
        parent for parent in _walk(root, _MAX_DEPTH) if all((parent / f).is_dir() for f in folders)
    ]
    below = {parent: parent.relative_to(root).parts for parent in found}
    if subset is not None:
        # If the root is the folder of the subset itself, the name is not among the parts below.
        found = [parent for parent in found if subset in (*below[parent], root.name)]
    if len(found) == 1:
        return found[0]
    wanted = " and ".join(repr(name) for name in folders)
    if found:
        names = ", ".join(repr("/".join(below[parent])) for parent in found)
        raise ValueError(
            f"{root} holds {wanted} in several places ({names}); name one of them as subset."
        )
    where = "" if subset is None else f" within {subset!r}"
    raise ValueError(
        f"{root} holds no folders {wanted} side by side{where}; check what was unpacked, and "
        "give the folder that contains them."
    )


def _walk(root: Path, depth: int) -> list[Path]:
    """Return the folders from the root down, without hidden ones and those that macOS adds."""
    below = [p for p in sorted(root.iterdir()) if p.is_dir() and not _is_hidden(p)] if depth else []
    return [root, *(folder for child in below for folder in _walk(child, depth - 1))]


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"


def paired_names(parent: Path, folders: Sequence[str], on_missing: OnMissing) -> list[str]:
    """Return the names of the png files that every folder holds, 2.png before 10.png."""
    names = {
        folder: {
            path.name
            for path in (parent / folder).iterdir()
            if path.suffix.lower() == ".png" and not _is_hidden(path)
        }
        for folder in folders
    }
    complete = set.intersection(*names.values())
    incomplete = sorted(set.union(*names.values()) - complete, key=_shortlex)
    if incomplete and on_missing == "raise":
        missing = next(folder for folder in folders if incomplete[0] not in names[folder])
        raise ValueError(
            f"{parent / missing} lacks {incomplete[0]}, and {len(incomplete)} images in all lack a "
            "counterpart; fetch the set again, or leave them out with on_missing='skip'."
        )
    if not complete:
        raise ValueError(
            f"{parent} holds no png that is in all of {', '.join(folders)}; check what was "
            "unpacked."
        )
    return sorted(complete, key=_shortlex)


def _shortlex(name: str) -> tuple[int, str]:
    return len(name), name


def read_images(
    folder: Path, names: Sequence[str], dtype: DTypeLike, *, verbose: int = 0
) -> NDArray:
    """Read png files of one shape into a stack (n, H, W), without a second copy of it."""
    from tqdm.auto import tqdm

    first = read_stack(folder / names[0]).frames
    stack = np.empty((len(names), *first.shape[1:]), dtype)
    for index, name in enumerate(tqdm(names, desc=folder.name, disable=verbose < 1)):
        frame = read_stack(folder / name).frames[0]
        if frame.shape != stack.shape[1:]:
            raise ValueError(
                f"{folder / name} has {frame.shape} px but {names[0]} has {stack.shape[1:]}; "
                "the images of a set have one shape, so fetch it again."
            )
        with np.errstate(invalid="ignore"):  # values that do not fit are found below
            stack[index] = frame
        if not np.array_equal(stack[index], frame):
            raise ValueError(
                f"dtype {stack.dtype} can't hold the values of {folder / name}; use float32."
            )
    return stack
