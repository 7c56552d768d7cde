import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import jaccard_score

from stemkit.metrics import atom_iou, psnr, ssim

METRICS = [psnr, ssim, atom_iou]


def stacks(seed=0, n=3, shape=(20, 27)):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 256, (n, *shape)).astype(np.float32)
    pred = true + rng.normal(0, [[[5]], [[20]], [[60]]][:n], true.shape)
    return true, pred.astype(np.float32)


def wang(a, b, data_range=255):
    """SSIM by the formula of the paper of 2004, with sums over windows within the frame."""
    axis = np.arange(-5, 6)
    line = np.exp(-(axis**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values):
        return convolve2d(values, window, mode="valid")

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))


def test_ssim_is_that_of_the_paper_and_of_scikit_image():
    true, pred = stacks()
    values = ssim(true, pred, quantize=False, reduction="none")
    for a, b, value in zip(true.astype(float), pred.astype(float), values, strict=True):
        assert value == pytest.approx(wang(a, b), abs=1e-7)
        assert value == pytest.approx(
            structural_similarity(
                a,
                b,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            ),
            abs=1e-12,
        )


def test_psnr_is_that_of_each_frame():
    true, pred = stacks()
    values = psnr(true, pred, quantize=False, reduction="none")
    for a, b, value in zip(true, pred, values, strict=True):
        expected = peak_signal_noise_ratio(a.astype(float), b.astype(float), data_range=255)
        assert value == pytest.approx(expected, abs=1e-9)


def test_iou_is_the_jaccard_score_of_the_pixels_above_half():
    true, pred = stacks()
    values = atom_iou(true, pred, reduction="none")
    for a, b, value in zip(true, pred, values, strict=True):
        # A threshold of 127.5 is one of 128 for integers.
        in_b = b.clip(0, 255).astype(np.uint8) >= 128
        assert value == pytest.approx(jaccard_score((a >= 128).ravel(), in_b.ravel()))


def test_iou_where_nothing_is():
    dark, bright = np.zeros((1, 4, 4)), np.full((1, 4, 4), 255)
    assert atom_iou(dark, dark) == 1
    assert atom_iou(dark, bright) == 0
    assert atom_iou(bright, dark) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_outputs_are_cut_as_a_conversion_to_bytes_cuts(metric):
    true, pred = stacks(1)
    as_bytes = pred.clip(0, 255).astype(np.uint8)
    assert metric(true, pred) == metric(true, as_bytes)
    assert metric(true, pred) != metric(true, pred, quantize=False) or metric is atom_iou


def test_cutting_decides_between_half_and_the_next_whole_number():
    bright, just_above = np.full((1, 4, 4), 255.0), np.full((1, 4, 4), 127.9)
    assert atom_iou(bright, just_above) == 0
    assert atom_iou(bright, just_above, quantize=False) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_mean_over_frames(metric):
    true, pred = stacks(2)
    each = metric(true, pred, reduction="none")
    assert each.shape == (3,)
    assert metric(true, pred) == pytest.approx(each.mean())
    weighted = metric(true, pred, sample_weight=[1, 0, 3])
    assert weighted == pytest.approx((each[0] + 3 * each[2]) / 4)
    for index in range(3):
        one = slice(index, index + 1)
        assert metric(true[one], pred[one]) == each[index]


@pytest.mark.parametrize("metric", METRICS)
def test_a_frame_that_is_exactly_right(metric):
    true, _ = stacks()
    assert metric(true, true) == (np.inf if metric is psnr else 1)


@pytest.mark.parametrize("metric", METRICS)
@given(st.floats(0.01, 1e4))
def test_scale_of_both_frames_and_range_does_not_matter(metric, scale):
    true, pred = stacks(3)
    expected = metric(true, pred, quantize=False)
    scaled = metric(true * scale, pred * scale, data_range=255 * scale, quantize=False)
    if metric is atom_iou:
        assert scaled == pytest.approx(expected, abs=0.01)
    else:
        assert scaled == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_pred": np.zeros((2, 20, 27))}, r"y_pred has shape \(2, 20, 27\)"),
        ({"y_true": np.zeros((20, 27))}, r"y_true\[np.newaxis\]"),
        ({"y_pred": np.full((3, 20, 27), np.nan)}, "y_pred contains NaN in frame 0"),
        ({"y_true": np.zeros((0, 20, 27))}, "y_true holds 0 frame"),
        ({"data_range": 0}, r"^data_range must be a finite number in"),
        ({"data_range": 1}, "pass quantize=False"),
        ({"reduction": "sum"}, '^reduction must be one of "mean" and "none"'),
        ({"sample_weight": [1, 2]}, "^sample_weight must be 3 finite numbers"),
        ({"sample_weight": [0, 0, 0]}, "^sample_weight must be 3 finite numbers, .* not all 0"),
        ({"sample_weight": [1, np.nan, 1]}, "^sample_weight must be"),
        ({"sample_weight": [1, np.inf, 1]}, "^sample_weight must be"),
        ({"sample_weight": ["a", "b", "c"]}, "^sample_weight must be"),
        ({"quantize": "no"}, "^quantize must be True or False"),
        ({"sample_weight": [1, 1, 1], "reduction": "none"}, "no use with reduction='none'"),
    ],
)
def test_bad_input_is_named(metric, change, message):
    true, pred = stacks()
    with pytest.raises(ValueError, match=message):
        metric(**{"y_true": true, "y_pred": pred} | change)


def test_frames_smaller_than_the_window():
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(np.zeros((1, 10, 30)), np.zeros((1, 10, 30)))
