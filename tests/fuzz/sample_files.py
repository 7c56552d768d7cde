"""Files for calls to read: stacks, images, weights with cards, checkpoints, damaged copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch

from stemkit.engine import save_weights
from stemkit.io import write_stack

from .values import PARAMETERS, Rng, good_frames

_SHAPE = (2, 12, 16)
_SUFFIXES = (".tif", ".npy", ".png", ".dm3", ".emd", ".ser", ".hspy", ".mrc", ".txt", ".TIF", "")


class SampleFiles:
    """A folder with one good file of each kind.

    Parameters
    ----------
    folder : Path
        An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        frames = good_frames(rng, _SHAPE)
        self.stacks = [folder / f"stack{suffix}" for suffix in (".tif", ".npy")]
        write_stack(self.stacks[0], frames, pixel_size=0.02)
        np.save(self.stacks[1], frames)
        counts = folder / "counts.npy"
        np.save(counts, frames.astype("uint16"))
        image = folder / "image.png"
        iio.imwrite(image, frames[0].clip(0, 255).astype("uint8"))
        self.stacks += [counts, image]
        self.images = folder / "images"
        for part in ("noisy", "gt", "image", "noBackgroundnoNoise", "gt_enhance"):
            (self.images / part).mkdir(parents=True)
            for i in range(2):
                iio.imwrite(self.images / part / f"{i}.png", frames[i].clip(0, 255).astype("uint8"))
        self.checkpoint = folder / "released.pth"
        torch.save(
            {"state_dict": {"scale": torch.ones(3), "shift": torch.ones(2)}}, self.checkpoint
        )
        self.weights = folder / "small.safetensors"
        save_weights({"weight": torch.ones(2, 1), "bias": torch.ones(2)}, self.weights, {"seed": 0})
        (folder / "empty_folder").mkdir()
        (folder / "text.tif").write_text("no image")
        self._serial = 0

    def path(self, suffix: str = "") -> Path:
        """Return the path of a file that does not exist."""
        self._serial += 1
        return self.folder / f"new{self._serial}{suffix}"

    def spoilt_file(self, rng: Rng, file: Path) -> tuple[str, Path]:
        """Make a damaged or renamed copy of a file; return what has changed, and its path."""
        content = bytearray(file.read_bytes())
        kind = rng.choice(["cut", "bytes", "header", "empty", "renamed", "longer", "zeros", "swap"])
        suffix = file.suffix
        if kind == "cut":
            content = content[: rng.integers(len(content))]
        elif kind == "bytes":
            for place in rng.integers(len(content), size=rng.integers(1, 9)):
                content[place] = rng.integers(256)
        elif kind == "header":
            for place in rng.integers(min(len(content), 200), size=rng.integers(1, 4)):
                content[place] = rng.integers(256)
        elif kind == "empty":
            content.clear()
        elif kind == "renamed":
            suffix = _SUFFIXES[rng.integers(len(_SUFFIXES))]
        elif kind == "longer":
            content += bytes(rng.integers(0, 256, 40, dtype="uint8"))
        elif kind == "zeros":
            start = rng.integers(len(content))
            content[start : start + 64] = bytes(len(content[start : start + 64]))
        else:
            start, stop = sorted(rng.integers(len(content), size=2))
            content[start:stop] = content[start:stop][::-1]
        path = self.path(suffix)
        path.write_bytes(content)
        return f"{file.name}: {kind}{' ' + suffix if kind == 'renamed' else ''}", path

    def odd_path(self, rng: Rng) -> Any:
        """Choose a path that is not a valid file."""
        options = (
            self.folder,
            self.folder / "empty_folder",
            self.folder / "text.tif",
            self.path(),
            self.path(".tif"),
            self.path(".npy"),
            self.path(".jpg"),
            self.folder / "no" / "where.tif",
            str(self.folder / ("a" * 300 + ".tif")),
            str(self.folder / "a\0b.tif"),
            str(self.folder / "stack*.tif"),
            self.path(".tif.npy"),
            self.stacks[0] / "inside.tif",
            "",
            ".",
            [],
            [self.stacks[0], self.stacks[-1]],
            [self.stacks[0], 3],
            [None],
        )
        return options[rng.integers(len(options))]


def spoilt_card(rng: Rng, card: dict[str, Any]) -> tuple[str, str]:
    """Change one or two values of a card; return what has changed, and its text."""
    card = json.loads(json.dumps(card))
    notes = []
    for _ in range(rng.integers(1, 3)):
        places = list(_places(card))
        keys, key, holder = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del holder[key]
            notes.append(f"{keys} deleted")
        elif kind == 1 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
            notes.append(f"{keys} renamed")
        else:
            value = None
            while value is None or not _is_json(value):
                value = PARAMETERS[rng.integers(len(PARAMETERS))]
                if value is None:
                    break
            holder[key] = value
            notes.append(f"{keys} = {value!r}")
        if not card:
            break
    text = json.dumps(card)
    kind = rng.integers(12)
    if kind == 0:
        text = text[: rng.integers(len(text))]
        notes.append("cut")
    elif kind == 1:
        text = ("[]", "3", '"x"', "null", "", "\ufeff{}", "{}")[rng.integers(7)]
        notes.append(f"all of it {text!r}")
    return "; ".join(notes), text


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _places(card: Any, keys: str = "card") -> Any:
    items = card.items() if isinstance(card, dict) else enumerate(card)
    for key, value in items:
        yield f"{keys}[{key!r}]", key, card
        if isinstance(value, dict | list) and value:
            yield from _places(value, f"{keys}[{key!r}]")
