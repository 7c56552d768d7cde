"""The report of what was found in frames: a table, a text and a page for notebooks."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..io._thumbnail import to_img
from ._findings import Finding, describe_frames
from ._marked_frames import LEGEND


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
    _pictures: tuple[tuple[int, NDArray[np.uint8]], ...] = field(default=())

    def __str__(self) -> str:
        lines = [f"FrameReport: {self._summary()}"]
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

    def _repr_html_(self) -> str:
        head = f"<div><b>FrameReport</b>: {html.escape(self._summary())}</div>"
        return f"<div>{head}{self._findings_html()}{self._pictures_html()}</div>"

    def _findings_html(self) -> str:
        if not self.findings:
            return ""
        titles = ("finding", "frames", "value", "threshold", "what it means")
        rows = [
            (
                f"<b>{html.escape(finding.name)}</b>",
                describe_frames(finding.frames).split(" ", 1)[1],
                f"{finding.value:.3g}",
                f"{finding.threshold:g}",
                html.escape(finding.meaning),
            )
            for finding in self.findings
        ]
        cell = 'style="text-align:left;vertical-align:top;padding:2px 8px"'
        header = "".join(f"<th {cell}>{title}</th>" for title in titles)
        body = "".join(
            "<tr>" + "".join(f"<td {cell}>{value}</td>" for value in row) + "</tr>" for row in rows
        )
        return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"

    def _pictures_html(self) -> str:
        names = self.table["findings"]
        figures = []
        for index, pixels in self._pictures:
            text = f"frame {index}" + (f": {names.iloc[index]}" if names.iloc[index] else "")
            figures.append(
                f'<figure style="margin:4px;width:{pixels.shape[1]}px">{to_img(pixels, text)}'
                f'<figcaption style="font-size:smaller">{html.escape(text)}</figcaption></figure>'
            )
        left = len(self.table) - len(self._pictures)
        more = f"<div>{left} more frames are not shown.</div>" if left else ""
        legend = "".join(
            f'<span style="margin-right:1em"><span style="display:inline-block;width:0.8em;'
            f'height:0.8em;background:rgb{color}"></span> {html.escape(what)}</span>'
            for what, color in LEGEND.items()
        )
        shown = '<div style="display:flex;flex-wrap:wrap;align-items:flex-start">'
        legend = f'<div style="font-size:smaller">{legend}</div>' if self.findings else ""
        return f"{legend}{shown}{''.join(figures)}</div>{more}"
