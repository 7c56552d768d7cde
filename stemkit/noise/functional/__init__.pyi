from ._background import slow_background as slow_background
from ._composite import (
    composite_noise as composite_noise,
    gaussian_noise as gaussian_noise,
    speckle_noise as speckle_noise,
    static_noise as static_noise,
)
from ._detector import afterglow as afterglow, line_gain as line_gain, saturate as saturate
from ._hrtem import (
    column_noise as column_noise,
    hrtem_noise as hrtem_noise,
    pointwise_noise as pointwise_noise,
    stabilize_log as stabilize_log,
    unstabilize_log as unstabilize_log,
)
from ._poisson import (
    poisson_gaussian_noise as poisson_gaussian_noise,
    stabilize_anscombe as stabilize_anscombe,
    unstabilize_anscombe as unstabilize_anscombe,
)
from ._scan import flyback as flyback, row_jitter as row_jitter, shift_rows as shift_rows
from ._shot import shot_noise as shot_noise
from ._stem import stem_noise as stem_noise
