import json
import os

import numpy as np
import pytest
import torch

from stemkit.engine import (
    list_weights,
    load_card,
    load_weights,
    put_weights,
    read_checkpoint,
    save_weights,
    weights,
)
from stemkit.exceptions import InvalidParameterError

CARD = {"data": "simulated", "steps": 10, "scores": {"mae": 0.01}}


def make_module(seed=0, width=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.BatchNorm1d(width))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.safetensors"
    save_weights(make_module(), path, CARD)
    return path


def assert_equal_states(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_weights_and_card_come_back(file):
    assert_equal_states(load_weights(file), make_module().state_dict())
    assert load_card(file) == CARD
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "small.json",
        "small.safetensors",
    ]


def test_loaded_weights_can_be_trained(file):
    module = make_module(seed=1)
    put_weights(module, load_weights(file), "the file")
    before = module[0].weight.detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    module(torch.rand(4, 2)).square().sum().backward()
    optimizer.step()
    assert torch.isfinite(module[0].weight).all()
    assert not torch.equal(module[0].weight, before)
    assert_equal_states(load_weights(file), make_module().state_dict())


def test_weights_that_share_memory_or_are_transposed_are_written(tmp_path):
    shared = torch.arange(6.0)
    state = {"a": shared, "b": shared, "c": shared.view(2, 3).T}
    save_weights(state, tmp_path / "w.safetensors", {})
    assert_equal_states(load_weights(tmp_path / "w.safetensors"), state)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_file_cut_short_is_an_error(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"small\.safetensors is damaged"):
        load_weights(file)


def test_the_error_for_a_missing_file_lists_the_available_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_shipped_folder", lambda: tmp_path)
    save_weights(make_module(), tmp_path / "ours.safetensors", CARD)
    assert list_weights() == ["ours"]
    assert_equal_states(load_weights("ours"), make_module().state_dict())
    assert load_card("ours") == CARD
    with pytest.raises(FileNotFoundError, match=r"no weights 'theirs'.*\['ours'\]"):
        load_weights("theirs")


@pytest.mark.parametrize("name", ["", ".", "small", "small.v2.safetensors", "small.pth"])
def test_no_file_is_read_but_the_one_that_was_named(file, name):
    for load in (load_weights, load_card):
        if load is load_card and name in ("small", "small.pth"):
            continue  # a card belongs to the weights of the same name, whatever their extension
        with pytest.raises(FileNotFoundError, match="There are no weights"):
            load(file.parent / name if name else name)


def test_every_shipped_file_is_complete_and_has_a_card():
    for name in list_weights():
        assert load_weights(name)
        assert load_card(name)


def test_full_disk_leaves_the_files_before(file, monkeypatch):
    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device; .*left as it was"):
        save_weights(make_module(seed=1), file, {})
    monkeypatch.undo()
    assert_equal_states(load_weights(file), make_module().state_dict())
    assert len(list(file.parent.iterdir())) == 2


def test_bad_card_or_name_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="card can't be written as JSON"):
        save_weights(make_module(), tmp_path / "w.safetensors", {"scores": np.zeros(2)})
    with pytest.raises(ValueError, match=r"must end in \.safetensors; got w\.pt"):
        save_weights(make_module(), tmp_path / "w.pt", {})
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_fit_are_named_and_not_loaded():
    module = make_module()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    other = make_module(width=4).state_dict()
    del other["1.bias"]
    other["2.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="not for a Sequential") as error:
        put_weights(module, other, "w.safetensors")
    message = str(error.value)
    assert "w.safetensors is not for a Sequential of this size" in message
    assert "it lacks the weights 1.bias" in message
    assert "it has, unasked, the weights 2.weight" in message
    assert "0.weight (4, 2) for (3, 2)" in message
    n_wrong = sum(
        value.shape != module.state_dict()[key].shape
        for key, value in other.items()
        if key in module.state_dict()
    )
    assert message.count(" for (") == 3
    assert f"and {n_wrong - 3} more" in message
    assert_equal_states(module.state_dict(), before)


@pytest.mark.parametrize("wrap", ["model_state_dict", "state_dict", None])
def test_released_wrappings_are_taken_off(tmp_path, wrap):
    state = make_module().state_dict()
    content = state
    if wrap:
        content = {wrap: {f"module.{key}": value for key, value in state.items()}, "epoch": 100}
    torch.save(content, tmp_path / "released.pth")
    assert_equal_states(read_checkpoint(tmp_path / "released.pth"), dict(state))


@pytest.mark.parametrize("name", ["scgn", "sfin", "atomdiffuser"])
def test_released_layouts_are_read(shared_fixtures, name):
    state = read_checkpoint(shared_fixtures / f"{name}_released_layout.pth")
    assert len(state) > 30
    assert not any(key.startswith("module.") for key in state)


def test_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="its code is not executed"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_checkpoint_cut_short_is_an_error(tmp_path, share):
    path = tmp_path / "released.pth"
    torch.save(make_module().state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"released\.pth (is damaged|holds more than weights)"):
        read_checkpoint(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_wrong_byte_anywhere_is_an_error_that_names_the_file_or_nothing(tmp_path, legacy):
    path = tmp_path / "released.pth"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    complaints = []
    for place in range(0, len(whole), 2):
        content = bytearray(whole)
        content[place] ^= 0x51
        path.write_bytes(content)
        try:
            read_checkpoint(path)
        except ValueError as error:
            complaints.append(str(error))
    assert len(complaints) > 100
    assert all("released.pth" in complaint for complaint in complaints)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"epoch": 3}, "holds more than tensors"),
        ([1, 2], "holds no weights by name"),
        ({"state_dict": {}}, "holds no weights by name"),
    ],
)
def test_checkpoint_without_weights_is_an_error(tmp_path, content, message):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "odd.pth")


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none\.pth"):
        read_checkpoint(tmp_path / "none.pth")


def test_card_is_plain_json(file):
    assert json.loads(file.with_suffix(".json").read_text()) == CARD


def test_mutated_checkpoint_is_an_error_or_reads_the_same(tmp_path):
    path = tmp_path / "released.pth"
    state = make_module().state_dict()
    torch.save(state, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_errors = 0
    for place in rng.integers(len(whole), size=300):
        content = bytearray(whole)
        content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except ValueError as error:
            n_errors += "released.pth" in str(error)
            continue
        assert_equal_states(found, dict(state))
    assert n_errors > 100


@pytest.mark.parametrize(
    "content, message",
    [
        ({0: torch.ones(1)}, "by numbers in place of texts"),
        ({"state_dict": {"a": torch.ones(1), 1: torch.ones(1)}}, "by numbers in place of texts"),
        ({"a": [torch.ones(1)]}, "holds more than tensors"),
        ({"a": torch.eye(2).to_sparse()}, "sparse or quantized"),
    ],
)
def test_checkpoint_of_other_things_is_an_error(tmp_path, content, message):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "value",
    [
        torch.full((3, 2), torch.nan),
        torch.full((3, 2), torch.inf),
        torch.full((3, 2), 1e300, dtype=torch.float64),
        torch.ones((3, 2), dtype=torch.int64),
        torch.ones((3, 2), dtype=torch.complex64),
    ],
)
def test_weights_that_no_module_can_use_are_an_error(value):
    module = make_module()
    before = module[0].weight.detach().clone()
    with pytest.raises(ValueError, match=r"w\.safetensors is damaged .*0\.weight holds"):
        put_weights(module, {**module.state_dict(), "0.weight": value}, "w.safetensors")
    assert torch.equal(module[0].weight, before)


def test_weights_are_tensors():
    with pytest.raises(ValueError, match="weights must map names to tensors"):
        put_weights(make_module(), {"0.weight": 1}, "w.safetensors")
    with pytest.raises(ValueError, match=r"is not for .* lacks the weights 0\.weight"):
        put_weights(make_module(), {}, "w.safetensors")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe{}", b"null", b"[" * 100_000, b"1" * 10_000]
)
def test_damaged_card_is_an_error_that_names_the_file(file, content):
    file.with_suffix(".json").write_bytes(content)
    with pytest.raises(ValueError, match=r"The card .*small\.json"):
        load_card(file)


def test_constraints_of_a_card_are_a_mapping():
    with pytest.raises(ValueError, match=r"^constraints must be None or a Mapping"):
        load_card("drift_decay", constraints=["seed"])


@pytest.mark.parametrize("weights", [{"a": 1}, {3: torch.ones(2)}, {"a": None}])
def test_weights_map_names_to_tensors(tmp_path, weights):
    with pytest.raises(InvalidParameterError, match=r"^weights must map names"):
        put_weights(make_module(), weights, "w.safetensors")
    with pytest.raises(InvalidParameterError, match=r"^module must map names"):
        save_weights(weights, tmp_path / "w.safetensors", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n, shown", [(1, "k0"), (3, "k0, k1, k2"), (5, "k0, k1, k2 and 2 more")])
def test_at_most_three_names_are_listed(n, shown):
    assert weights._list_keys([f"k{i}" for i in range(n)]) == shown
