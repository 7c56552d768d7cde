"""Hypothesis strategies for motions."""

from hypothesis import strategies as st

from stemkit.registration import Motion


def finite(low, high):
    return st.floats(low, high, allow_nan=False, width=64)


shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))
drifts = st.tuples(finite(-30, 30), finite(-30, 30))
parameters = st.fixed_dictionaries(
    {
        "drift": drifts,
        "rotation": finite(-3.1, 3.1),
        "shear": finite(-0.3, 0.3),
        "stretch": finite(-0.3, 0.3),
        "scale": finite(0.7, 1.4),
    }
)


@st.composite
def motions(draw, n=1):
    shape = draw(shapes)
    made = [Motion.from_parameters(shape, **draw(parameters)) for _ in range(n)]
    return made[0] if n == 1 else made
