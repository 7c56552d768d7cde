"""The report of what was found in frames: a table, a text and a page for notebooks."""

from __future__ import annotations

import html
import math
import textwrap
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..io._thumbnail import to_img
from ._findings import Finding, describe_frames
from ._marked_frames import LEGEND

# Colours are those of the page, light or dark.
_STYLE = """<style>
.stemkit-report{font-size:14px;line-height:1.45;max-width:72em;margin-bottom:1em}
.stemkit-report dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:8px 0}
.stemkit-report dt{opacity:.65}.stemkit-report dd{margin:0}
.stemkit-report .finding{border-left:4px solid #d9822b;padding:2px 0 2px 12px;margin:10px 0}
.stemkit-report .number{opacity:.75;margin-left:.6em}
.stemkit-report .frames{display:flex;flex-wrap:wrap;gap:12px;margin-top:12px}
.stemkit-report figure{margin:0}
.stemkit-report figure img{display:block;border-radius:4px;image-rendering:pixelated;
max-width:none;width:100%}
.stemkit-report figcaption,.stemkit-report .legend{font-size:12px;margin-top:3px}
.stemkit-report figcaption i{opacity:.65}
.stemkit-report .legend span{margin-right:1.2em;white-space:nowrap}
.stemkit-report .legend b{display:inline-block;width:.8em;height:.8em;border-radius:2px;
margin-right:.4em}
.stemkit-report svg{vertical-align:middle;margin-left:.8em}
</style>"""


@dataclass(frozen=True, eq=False, repr=False)
class FrameReport:
    """What was found in frames.

    Attributes
    ----------
    table : DataFrame
        A row for each frame with what was measured, and in the column ``findings`` the names of
        the findings. :func:`inspect_frames` explains the columns.
    findings : tuple of Finding
        What is wrong, with the frames, the number, its threshold and what it means.
    frame_shape : tuple of int
        Shape (H, W) of a frame.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...]
    frame_shape: tuple[int, int]
    _pixel_size: float | None = None
    _pictures: tuple[tuple[int, NDArray[np.uint8]], ...] = field(default=())

    def __str__(self) -> str:
        lines = [f"FrameReport: {self._summary()}"]
        lines += [f"{title}: {text}" for title, text in self._measured().items()]
        for finding in self.findings:
            lines += textwrap.wrap(f"- {finding}", 100, subsequent_indent="  ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _summary(self) -> str:
        n, shape = len(self.table), " x ".join(map(str, self.frame_shape))
        found = len(self.findings)
        findings = f"{found} finding{'s' * (found != 1)}" if found else "no findings"
        return f"{n} frame{'s' * (n != 1)} of {shape} px, {findings}"

    def _measured(self) -> dict[str, str]:
        """Return what was measured, in words; numbers are medians over the frames."""
        texts = {"noise": self._noise(), "atoms": self._atoms()}
        levels = self._median("n_levels")
        if np.isfinite(levels):
            bits = max(1, math.ceil(math.log2(max(levels, 2))))
            step = self._median("level_step")
            texts["levels"] = f"{levels:.0f} in use ({bits} bits), {step:.3g} apart"
        return {title: text for title, text in texts.items() if text}

    def _noise(self) -> str:
        noise = self._median("noise")
        if np.isnan(noise):
            return ""
        if noise == 0:
            return (
                "none of single pixels stands out, as in frames that are simulated, denoised or "
                "smoothed"
            )
        text = f"standard deviation {noise:.3g}"
        gain, readout = self._median("noise_gain"), self._median("readout")
        if gain > 0:
            text += f"; {readout:.3g} at the darkest places, and a gain of {gain:.3g}"
        shared = self.table["shared_noise"].to_numpy(dtype=bool)
        return f"{text}; neighbours share it" if shared.mean() > 0.5 else text

    def _atoms(self) -> str:
        parts = []
        skewness = self._median("skewness")
        kind = "" if not np.isfinite(skewness) else "bright, " if skewness > 0 else "dark, "
        sigma, spacing = self._median("atom_sigma"), self._median("spacing")
        if np.isfinite(sigma):
            parts.append(f"{kind}sigma {self._length(sigma)}")
        if np.isfinite(spacing):
            parts.append(f"lattice planes {self._length(spacing)} apart")
        return "; ".join(parts)

    def _length(self, length: float) -> str:
        text = f"{length:.3g} px"
        return f"{text} ({length * self._pixel_size:.3g} nm)" if self._pixel_size else text

    def _median(self, name: str) -> float:
        values = self.table[name].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else float("nan")

    def _repr_html_(self) -> str:
        head = f"<div><b>FrameReport</b> &nbsp;{html.escape(self._summary())}</div>"
        measured = "".join(
            f"<dt>{title}</dt><dd>{html.escape(text)}</dd>"
            for title, text in self._measured().items()
        )
        findings = "".join(map(self._finding_html, self.findings))
        return (
            f'{_STYLE}<div class="stemkit-report">{head}<dl>{measured}</dl>{findings}'
            f"{self._pictures_html()}</div>"
        )

    def _finding_html(self, finding: Finding) -> str:
        where = describe_frames(finding.frames) if len(self.table) > 1 else ""
        return (
            f'<div class="finding"><b>{html.escape(finding.name)}</b><span class="number">'
            f"{html.escape(finding.measured + finding.beyond)}</span>"
            f'<span class="number">{where}</span>{self._strip(finding)}'
            f"<div>{html.escape(finding.meaning)}</div></div>"
        )

    def _strip(self, finding: Finding) -> str:
        """Return a line of the series with a mark at each frame that has the finding."""
        n = len(self.table)
        if n < 2:
            return ""
        width = min(200, 12 * n)
        each = width / n
        marks = "".join(
            f'<rect x="{i * each:.1f}" width="{max(each - 1, 1):.1f}" height="10" fill="#d9822b"/>'
            for i in finding.frames
        )
        return (
            f'<svg width="{width}" height="10" role="img" aria-label="frames with it"><rect '
            f'width="{width}" height="10" fill="currentColor" opacity=".12"/>{marks}</svg>'
        )

    def _pictures_html(self) -> str:
        names = self.table["findings"]
        figures = []
        for index, pixels in self._pictures:
            found = names.iloc[index]
            label = f"frame {index}" + (f": {found}" if found else "")
            figures.append(
                f'<figure style="width:{pixels.shape[1]}px">{to_img(pixels, label)}'
                f"<figcaption>frame {index} <i>{html.escape(found)}</i></figcaption></figure>"
            )
        left = len(self.table) - len(self._pictures)
        more = f'<div class="legend">{left} more frames are not shown.</div>' if left else ""
        legend = "".join(
            f'<span><b style="background:rgb{color}"></b>{html.escape(what)}</span>'
            for what, (color, found) in LEGEND.items()
            if any(finding.name in found for finding in self.findings)
        )
        return (
            f'<div class="frames">{"".join(figures)}</div><div class="legend">{legend}</div>{more}'
        )
