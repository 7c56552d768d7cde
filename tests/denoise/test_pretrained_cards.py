"""Each entry of the card of a user's weights is checked."""

import json

import numpy as np
import pytest
import torch

from stemkit import SCGNDenoiser
from stemkit.denoise import NetworkDenoiser

from .tiny import random_pairs

FRAMES = np.random.default_rng(0).normal(50, 9, (2, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    sizes = {"n_blocks": 1, "n_channels": 4, "max_epochs": 1, "tile_size": 16}
    model = SCGNDenoiser(**sizes, device="cpu", random_state=0).fit(FRAMES, FRAMES)
    model.save_weights(path)
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text())


BAD_SCALINGS = [
    [0, 0],
    [0, -3],
    [0, float("nan")],
    [0, float("inf")],
    [float("nan"), 1],
    [1e300, 1],
    [0, 1e300],
    [0, 1e-300],
    [0],
    [0, 1, 2],
    [],
    ["0", "1"],
    [[0, 1], [0, 1]],
    [True, True],
    None,
    "0, 1",
    3,
    {"offset": 0, "scale": 1},
]
DAMAGE = [
    *[{field: bad} for field in ("input_scaling", "target_scaling") for bad in BAD_SCALINGS],
    *[{"network": bad} for bad in (None, 3, ["SCGN"], {})],
    *[{"parameters": bad} for bad in (None, 3, [], "n_channels=4")],
    *[{"input_noise": bad} for bad in ("1", -1, float("nan"), float("inf"), [1], 1e300)],
]
PARAMETERS = [
    {"n_channels": bad} for bad in ("4", None, -4, 0, 4.5, [4], 10**12, float("nan"), 1e300)
] + [{"n_blocks": bad} for bad in ("1", None, -1, 10**12, [1])]


def transform(folder, weights, card):
    path = folder / "mine.safetensors"
    path.write_bytes(weights)
    path.with_suffix(".json").write_text(json.dumps(card))
    return SCGNDenoiser(weights=path, device="cpu").transform(FRAMES)


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_damaged_entry_is_an_error_that_names_file_and_entry(content, damage, tmp_path):
    weights, card = content
    with pytest.raises(ValueError, match=rf"The card .*mine\.json .*{next(iter(damage))}"):
        transform(tmp_path, weights, card | damage)


@pytest.mark.parametrize("name", ["network", "parameters", "input_scaling", "target_scaling"])
def test_missing_entry_is_an_error_that_names_it(content, name, tmp_path):
    weights, card = content
    with pytest.raises(ValueError, match=rf"The card .*mine\.json lacks '{name}'"):
        transform(tmp_path, weights, {key: card[key] for key in card if key != name})


@pytest.mark.parametrize("damage", [*PARAMETERS, {"unknown": 1}], ids=str)
def test_damaged_parameters_are_an_error_that_names_the_file(content, damage, tmp_path):
    weights, card = content
    with pytest.raises(ValueError, match=r"mine\."):
        transform(tmp_path, weights, card | {"parameters": card["parameters"] | damage})


def test_further_entries_and_older_cards_are_taken(content, tmp_path):
    weights, card = content
    expected = transform(tmp_path, weights, card)
    older = {key: card[key] for key in card if key != "input_noise"} | {"scores": [float("nan")]}
    np.testing.assert_array_equal(transform(tmp_path, weights, older), expected)


class Scaled(torch.nn.Conv2d):
    """A network of a user's own, with a parameter beyond 10,000."""

    def __init__(self, cutoff=20_000, order=50_000):
        super().__init__(1, 1, 3, padding=1)
        self.cutoff = cutoff


def test_what_is_saved_can_be_loaded(tmp_path):
    X, y = random_pairs()
    settings = {"network": Scaled, "max_epochs": 1, "device": "cpu", "random_state": 0}
    model = NetworkDenoiser(network_parameters={"cutoff": 30_000}, **settings).fit(X, y)
    domain = {"background": 3.0, "noise_range": [1, 2], "atoms": "bright", "atom_sigma": [1, 2.5]}
    model.save_weights(tmp_path / "a.safetensors", domain=domain, input_scaling=(1, 2), seed=3)
    again = NetworkDenoiser(
        network=Scaled, network_parameters={"cutoff": 30_000}, weights=tmp_path / "a.safetensors"
    )
    assert np.isfinite(again.transform(X)).all()
    assert again.domain_ == domain


@pytest.mark.parametrize(
    "entry",
    [
        {"input_scaling": [1, 2, 3]},
        {"input_scaling": [1, 0]},
        {"target_scaling": [float("nan"), 1]},
        {"input_noise": -1},
        {"parameters": [1]},
        {"network": 3},
        {"domain": {"noise": 0}},
        {"domain": {"noise_range": [2, 1]}},
        {"domain": {"atoms": "green"}},
        {"domain": {"sizes": 1}},
        {"domain": [1]},
    ],
    ids=str,
)
def test_a_card_that_could_not_be_loaded_is_not_saved(entry, tmp_path):
    X, y = random_pairs()
    model = NetworkDenoiser(network=Scaled, max_epochs=1, device="cpu", random_state=0).fit(X, y)
    (key,) = entry
    with pytest.raises(ValueError, match=f"^{key} must be"):
        model.save_weights(tmp_path / "a.safetensors", **entry)
    assert not any(tmp_path.iterdir())
