from ._repair import BadPixelRepair as BadPixelRepair
