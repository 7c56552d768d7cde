import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from stemkit.engine import ArraySource, fit_module

X = np.linspace(-1, 1, 24, dtype=np.float32)[:, None]


def fit(fabric=None, checkpoint_dir=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(1, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    result = fit_module(
        module,
        lambda module, batch: (module(batch[0]) - batch[1]).square().mean(),
        # batches of 8 and, at the end of an epoch, of a single sample for two processes
        ArraySource(X[:17], X[:17] ** 2, batch_size=8),
        validation=ArraySource(X, X**2, batch_size=8),
        max_steps=9,
        lr=0.01,
        device="cpu",
        fabric=fabric,
        checkpoint_dir=checkpoint_dir,
    )
    return module, result


def main(folder):
    from lightning_fabric import Fabric

    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_fork")
    fabric.launch(fit_one_process, folder)


def fit_one_process(fabric, folder):
    module, result = fit(fabric, folder)
    torch.save(module.state_dict(), f"{folder}/weights_{fabric.global_rank}.pt")
    result.history.to_csv(f"{folder}/history_{fabric.global_rank}.csv")


@pytest.mark.slow
def test_two_processes_share_each_batch(tmp_path):
    subprocess.run([sys.executable, __file__, tmp_path], check=True, timeout=120)
    module, result = fit()
    for rank in range(2):
        weights = torch.load(tmp_path / f"weights_{rank}.pt", weights_only=True)
        for key, expected in module.state_dict().items():
            torch.testing.assert_close(weights[key], expected, rtol=1e-4, atol=1e-6)
        history = pd.read_csv(tmp_path / f"history_{rank}.csv")
        np.testing.assert_allclose(history["val_loss"], result.history["val_loss"], rtol=1e-4)
    assert len(list(tmp_path.glob("checkpoint_*.pt"))) == 1


if __name__ == "__main__":
    main(sys.argv[1])
