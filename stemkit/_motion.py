"""How a specimen moved between two frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from skimage.transform import AffineTransform, EuclideanTransform


def _frozen(values: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers of shape {shape}; got {values!r}.")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion of the specimen between two frames of one shape.

    What lies at ``p`` in the first frame lies at ``c + drift + matrix @ (p - c)`` in the second,
    where ``c`` is the frame's centre ``((H - 1) / 2, (W - 1) / 2)``. All coordinates are (y, x).

    Parameters
    ----------
    shape : tuple of int
        Shape (H, W) of the frames.
    drift : array-like of shape (2,), default=(0, 0)
        Drift (dy, dx) of the frame's centre, in px.
    matrix : array-like of shape (2, 2), default=identity
        Linear part, in (y, x).

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.registration import Motion
    >>> motion = Motion.from_parameters((64, 64), drift=(3, -2), rotation=np.deg2rad(5))
    >>> round(float(np.rad2deg(motion.rotation)), 6)
    5.0
    >>> bool(np.allclose(motion.then(motion.inverse()).drift, 0))
    True

    Points (y, x), half of the motion, the motion of frames binned by two, and scikit-image's
    transform, which takes (x, y):

    >>> center = [[31.5, 31.5]]
    >>> motion.apply(center).round(6).tolist()
    [[34.5, 29.5]]
    >>> motion.at(0.5).drift.tolist(), motion.rescaled(0.5, (32, 32)).drift.round(6).tolist()
    ([1.5, -1.0], [1.5, -1.0])
    >>> motion.to_skimage()(center).round(6).tolist()
    [[29.5, 34.5]]
    """

    shape: tuple[int, int]
    drift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(2))

    def __post_init__(self) -> None:
        height, width = self.shape
        object.__setattr__(self, "shape", (int(height), int(width)))
        object.__setattr__(self, "drift", _frozen(self.drift, (2,), "drift"))
        object.__setattr__(self, "matrix", _frozen(self.matrix, (2, 2), "matrix"))
        if np.linalg.det(self.matrix) == 0:
            raise ValueError(
                f"matrix must have an inverse, or the frame would lose its area; "
                f"got {self.matrix!r}."
            )

    @classmethod
    def from_parameters(
        cls,
        shape: tuple[int, int],
        *,
        drift: ArrayLike = (0.0, 0.0),
        rotation: float = 0.0,
        shear: float = 0.0,
        stretch: float = 0.0,
        scale: float = 1.0,
    ) -> Motion:
        """Make a motion from drift, rotation, shear, stretch and scale.

        The linear part is ``R(rotation) @ [[1 + stretch, 0], [shear, scale]]``: drift with a
        constant velocity during the scan moves each row further than the one above it, by
        ``stretch`` px along y and ``shear`` px along x, and does not change the fast axis.

        Parameters
        ----------
        shape : tuple of int
            Shape (H, W) of the frames.
        drift : array-like of shape (2,), default=(0, 0)
            Drift (dy, dx) of the centre, in px.
        rotation : float, default=0.0
            Rotation in radians, counter-clockwise as seen on the screen.
        shear, stretch : float, default=0.0
            Displacement per row along x and y, in px per px.
        scale : float, default=1.0
            Magnification along the fast axis.

        Returns
        -------
        Motion
        """
        cos, sin = np.cos(rotation), np.sin(rotation)
        lower = np.array([[1 + stretch, 0.0], [shear, scale]])
        return cls(shape, np.asarray(drift), np.array([[cos, -sin], [sin, cos]]) @ lower)

    @property
    def center(self) -> NDArray[np.float64]:
        """Centre of the frame, (y, x) in px."""
        return (np.array(self.shape) - 1) / 2

    @property
    def rotation(self) -> float:
        """Rotation of the fast axis in radians, counter-clockwise as seen on the screen."""
        # Not -x, which is -0.0 without rotation.
        return float(np.arctan2(0 - self.matrix[0, 1], self.matrix[1, 1]))

    @property
    def shear(self) -> float:
        """Displacement along x per row, in px per px, after removal of the rotation."""
        return float(self._without_rotation()[1, 0])

    @property
    def stretch(self) -> float:
        """Displacement along y per row, in px per px, after removal of the rotation."""
        return float(self._without_rotation()[0, 0] - 1)

    @property
    def scale(self) -> float:
        """Magnification along the fast axis."""
        return float(self._without_rotation()[1, 1])

    def _without_rotation(self) -> NDArray[np.float64]:
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        return np.array([[cos, sin], [-sin, cos]]) @ self.matrix

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points of the first frame to the second.

        Parameters
        ----------
        points : array-like of shape (n, 2)
            Coordinates (y, x) in px.

        Returns
        -------
        ndarray of shape (n, 2)
            Coordinates (y, x) in px.
        """
        return (np.asarray(points) - self.center) @ self.matrix.T + self.center + self.drift

    def inverse(self) -> Motion:
        """Return the inverse motion.

        Returns
        -------
        Motion
            From the second frame back to the first.
        """
        inverse = np.linalg.inv(self.matrix).astype(float)
        return Motion(self.shape, -inverse @ self.drift, inverse)

    def then(self, later: Motion) -> Motion:
        """Compose this motion with a later one.

        Parameters
        ----------
        later : Motion
            From the second frame to a third, of the same shape.

        Returns
        -------
        Motion
            From the first frame to the third.
        """
        return Motion(
            self.shape, later.matrix @ self.drift + later.drift, later.matrix @ self.matrix
        )

    def at(self, t: float) -> Motion:
        """Interpolate the motion in time: ``identity + t (motion - identity)``.

        Parameters
        ----------
        t : float
            0 is the first frame, 1 the second.

        Returns
        -------
        Motion
        """
        return Motion(self.shape, t * self.drift, np.eye(2) + t * (self.matrix - np.eye(2)))

    def rescaled(self, factor: float, shape: tuple[int, int]) -> Motion:
        """Return the same motion for frames of another shape and pixel size.

        The pixel edges at (0, 0) coincide, as they do after binning. Rows and columns that binning
        drops move the centre, which is accounted for.

        Parameters
        ----------
        factor : float
            Size of the old pixels in new pixels: 0.5 after binning by two.
        shape : tuple of int
            Shape (H, W) of the new frames.

        Returns
        -------
        Motion
        """
        old = (self.center + 0.5) * factor
        new = np.array(shape) / 2
        # The drift depends on the centre unless the linear part is the identity.
        drift = self.drift * factor + (self.matrix - np.eye(2)) @ (new - old)
        return Motion(shape, drift, self.matrix)

    def to_skimage(self) -> EuclideanTransform | AffineTransform:
        """Return the transform of scikit-image, of (x, y) from the first frame to the second.

        Its ``rotation`` has the opposite sign: scikit-image measures the angle of a transform from
        x towards y, which is clockwise on the screen.

        Returns
        -------
        EuclideanTransform or AffineTransform
            The former if the motion is rigid.
        """
        from skimage.transform import AffineTransform, EuclideanTransform

        matrix = np.eye(3)
        matrix[:2, :2] = self.matrix[::-1, ::-1]
        matrix[:2, 2] = (self.center + self.drift - self.matrix @ self.center)[::-1]
        rigid = np.allclose(self.matrix @ self.matrix.T, np.eye(2), atol=1e-12)
        return (EuclideanTransform if rigid else AffineTransform)(matrix=matrix)
