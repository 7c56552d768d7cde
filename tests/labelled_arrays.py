"""Stand-ins for a HyperSpy signal and an xarray.DataArray, with what stemkit reads of them."""

from types import SimpleNamespace

import numpy as np


class Tree(dict):
    """Metadata as HyperSpy holds them."""

    def as_dictionary(self):
        return dict(self)


def signal(data, axes, metadata=()):
    """Make a signal from (name, units, scale, navigate) of each axis of the data.

    A scale that is an array is the coordinates of an irregular axis, which has no scale.
    """
    described = []
    for index, (name, units, scale, navigate) in enumerate(axes):
        axis = SimpleNamespace(name=name, units=units, navigate=navigate, index_in_array=index)
        axis.size = data.shape[index]
        if np.ndim(scale):
            axis.axis = scale
        else:
            axis.scale = scale
            axis.axis = 7 + scale * np.arange(axis.size)
        described.append(axis)
    manager = SimpleNamespace(  # both lists are in the order x, y, ...
        navigation_axes=[axis for axis in described[::-1] if axis.navigate],
        signal_axes=[axis for axis in described[::-1] if not axis.navigate],
    )
    return SimpleNamespace(
        data=data, axes_manager=manager, metadata=Tree(metadata), original_metadata=Tree(a=1)
    )


def data_array(data, dims, name=None, **coordinates):
    """Make a DataArray; a coordinate is (values, units) or values."""
    coords = {}
    for dim, described in coordinates.items():
        values, units = described if isinstance(described, tuple) else (described, None)
        attrs = {} if units is None else {"units": units}
        coords[dim] = SimpleNamespace(data=np.asarray(values), attrs=attrs)
    return SimpleNamespace(data=data, dims=dims, coords=coords, name=name, attrs={"stage": 3})


def series(data, y=0.03, x=0.02, times=None, units="nm"):
    """Make a DataArray of frames with these pixels in nm."""
    height, width = data.shape[1:]
    known = {"y": (y * np.arange(height), units), "x": (x * np.arange(width), units)}
    if times is not None:
        known["time"] = (times, "s")
    return data_array(data, ("time", "y", "x"), **known)
