"""retrieval-v1: does a window around a structure find the windows around the same structure in other subjects?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor

from ssl_bench.api.cases import IGNORED, Case
from ssl_bench.api.measurement import Descriptor, Measured, Measurement, Rows
from ssl_bench.api.protocol import ProtocolFacts
from ssl_bench.api.settings import Settings
from ssl_bench.protocols.geometry.controls import Position
from ssl_bench.protocols.geometry.unit_vectors import STANDARDISED_BY, UnitVectors, volume_of

TOGETHER = 16
"""Windows that pass the encoder at once."""


class RetrievalV1Settings(Settings):
    """What a window is."""

    side: PositiveInt = 16
    """Voxels; zeros where it leaves the volume."""


class Window(NamedTuple):
    """A window of a case."""

    case: int
    structure: int
    centre: tuple[int, int, int]


class RetrievalV1(Measurement):
    """Windows of all other test cases, ordered by their pooled features' cosine; those of the structure are wanted."""

    Settings = RetrievalV1Settings
    metrics: ClassVar = {"segmentation": "mAP"}
    controls = ("position", "patches", "mind")
    compares_cases = True
    facts = ProtocolFacts(
        title="Retrieval: windows of the same structure in other subjects, by global features",
        source="ssl-bench; average precision as in image retrieval",
        frozen_backbone=True,
        reads="encoder",
    )

    def looks(self, train: int, test: int) -> int:
        """One a case that windows are cut from."""
        return min(train, STANDARDISED_BY) + test

    def measure(self, data: Measured, descriptor: Descriptor | None) -> Rows:
        """One row a test case: the mean over its windows."""
        assert descriptor is not None
        of_windows = self._describing(data, descriptor)
        searched, windows = windows_of(data.references), windows_of(data.test)
        found = of_windows(data.references, searched)
        asked = found if data.references is data.test else of_windows(data.test, windows)
        cosine = (asked @ found.T).double().numpy()
        case, structure = (np.array([window[at] for window in searched]) for at in range(2))
        precisions: dict[int, dict[str, float]] = defaultdict(dict)
        for at, window in enumerate(windows):
            others = case != window.case
            wanted = structure[others] == window.structure
            if wanted.any():
                name = data.facts.classes[window.structure - 1]
                precisions[window.case][name] = average_precision(cosine[at, others], wanted)
        return [
            {
                "case": one.identifier,
                "average_precision": float(np.mean([*own.values()])) if (own := precisions[at]) else None,
                "average_precision_per_class": own,
            }
            for at, one in enumerate(data.test)
        ]

    def _describing(
        self, data: Measured, descriptor: Descriptor
    ) -> Callable[[Sequence[Case], Sequence[Window]], Tensor]:
        """From cases and their windows to (windows, channels), of length one; of the control, to each one's middle."""
        if isinstance(descriptor, Position):

            def places(cases: Sequence[Case], windows: Sequence[Window]) -> Tensor:
                found = [descriptor.local(volume_of(cases[w.case]))[0][:, *w.centre] for w in windows]
                return F.normalize(torch.stack(found), dim=1)

            return places
        vectors, train = UnitVectors(descriptor, data.train), data.train[:STANDARDISED_BY]
        fitted = vectors.pooled(self._batches(data, train, windows_of(train)))

        def pooled(cases: Sequence[Case], windows: Sequence[Window]) -> Tensor:
            return vectors.standardised(vectors.pooled(self._batches(data, cases, windows)), fitted)

        return pooled

    def _batches(self, data: Measured, cases: Sequence[Case], windows: Sequence[Window]) -> Iterator[Tensor]:
        """Those windows, (B, C, side, side, side), in order; all of a case in batches of their own."""
        side = self.settings.side
        for at, case in enumerate(cases):
            volume = F.pad(volume_of(case)[0], [side // 2] * 6)
            cut = [
                volume[:, z : z + side, y : y + side, x : x + side]
                for _, _, (z, y, x) in (w for w in windows if w.case == at)
            ]
            yield from (torch.stack(cut[start : start + TOGETHER]) for start in range(0, len(cut), TOGETHER))
            data.advance("windows")


def windows_of(cases: Sequence[Case]) -> list[Window]:
    """A window for each structure of each case, around the structure's voxel that is nearest to its mean."""
    found = []
    for at, case in enumerate(cases):
        labels = np.asarray(case.label)
        for structure in np.unique(labels[(labels > 0) & (labels != IGNORED)]).tolist():
            voxels = np.argwhere(labels == structure)
            z, y, x = voxels[((voxels - voxels.mean(0)) ** 2).sum(1).argmin()].tolist()
            found.append(Window(at, structure, (z, y, x)))
    return found


def average_precision(likeness: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    """The sum over falling thresholds of the recall gained times the precision there; of equals none comes first."""
    values, places = np.unique(-likeness, return_inverse=True)
    hits = np.bincount(places, wanted, len(values)).cumsum()
    precision = hits / np.bincount(places, minlength=len(values)).cumsum()
    return float((np.diff(hits, prepend=0.0) * precision).sum() / wanted.sum())
