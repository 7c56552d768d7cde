import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from stemkit._scene import render_columns
from stemkit.damage._network import motion_to_theta, theta_to_motion
from stemkit.datasets import make_scene
from stemkit.registration import Motion


@given(
    st.tuples(st.integers(2, 300), st.integers(2, 300)),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.floats(-3, 3),
)
def test_theta_and_rigid_motions_are_converted_both_ways(shape, drift, rotation):
    motion = Motion.from_parameters(shape, drift=drift, rotation=rotation)
    again = theta_to_motion(motion_to_theta(motion), shape)
    np.testing.assert_allclose(again.drift, motion.drift, atol=1e-3)
    assert again.rotation == pytest.approx(rotation, abs=1e-5)


def test_theta_is_the_matrix_of_a_sampling_grid():
    side = 128
    motion = Motion.from_parameters((side, side), drift=(6.3, -9.1), rotation=np.deg2rad(7))
    scene = make_scene((side, side), random_state=2)
    first = render_columns(scene, (side, side))
    second = render_columns(scene, (side, side), motion=motion)
    angle, tx, ty = (float(value) for value in motion_to_theta(motion))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = torch.tensor([[[cos, -sin, tx], [sin, cos, ty]]], dtype=torch.float32)
    # At each pixel of the second frame the grid is its position in the first one.
    grid = F.affine_grid(matrix, (1, 1, side, side), align_corners=True)
    drawn = F.grid_sample(
        torch.from_numpy(first)[None, None], grid, mode="bicubic", align_corners=True
    )[0, 0].numpy()
    inside = (slice(24, -24), slice(24, -24))
    np.testing.assert_allclose(drawn[inside], second[inside], atol=0.05)
    assert np.abs(first - second)[inside].max() > 0.5
