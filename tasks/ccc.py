"""CCC: COVID-19 classification on chest CT, after STOIC 2021."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from ssl_bench.api.cases import Found, Problem, SourceCase
from ssl_bench.api.dataset import Dataset
from ssl_bench.api.preprocessing import Preprocessing
from ssl_bench.api.rng import numpy_generator
from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Task, TaskFacts
from ssl_bench.data.layouts.folders import existing_folder, files_below, in_order, repeated
from ssl_bench.data.layouts.identifiers import safe_identifiers
from ssl_bench.data.layouts.tables import binary_label, read_table
from ssl_bench.data.synthetic.covid import COVID, LOOK_ALIKES, blend_lesions, lesion_score, lungs_of, vary_lungs
from ssl_bench.data.synthetic.ct import acquire
from ssl_bench.data.synthetic.generator import AnatomyGenerator, Subjects
from ssl_bench.data.synthetic.sampling import SUPERSAMPLING, pool
from ssl_bench.data.synthetic.thorax import PULMONARY_ARTERY
from ssl_bench.data.synthetic.warps import Variation

_VARIATION = Variation(displacement_mm=10.0, rotation_deg=6.0, scale=0.08, shift_mm=4.0, size=0.92)

_LABEL = "probCOVID"


class Chests(AnatomyGenerator):
    """Lungs cut out of the chest, every other one with COVID-like lesions, in shuffled order; outside is 0."""

    name = "ccc"
    shipped = "chest"
    label_values = (PULMONARY_ARTERY,)
    together = 1
    spacing_mm = (6.5, 6.5, 6.5)
    field_of_view_mm = (273.0, 195.0, 286.0)

    def scan(self, subjects: Subjects) -> tuple[Tensor, list[int]]:
        """See `AnatomyGenerator`."""
        draws, fields = subjects.draws, lungs_of(self.anatomy)
        scene = subjects.scene(self.anatomy, _VARIATION, fields.centre_mm)
        mask = scene.read(fields.mask)
        vary_lungs(scene, mask, draws)
        positive = _is_positive(subjects.split, subjects.first, subjects.seed)
        look_alike = LOOK_ALIKES[int(draws.integers(0, len(LOOK_ALIKES)))]
        score = lesion_score(COVID if positive else look_alike, scene, mask, self.anatomy, draws)
        blend_lesions(scene, mask, score, draws)
        image, _ = acquire(pool(scene)[0], subjects.spacing_mm, draws, cuts=False)
        return image * (F.avg_pool3d(mask, SUPERSAMPLING) > 0.5), [int(positive)]


class STOIC(Dataset):
    """Chest CT by patient, and a table of RT-PCR results."""

    def find(self, root: Path) -> Found:
        """See `Dataset`. ``<PatientID>.mha`` at any depth, and the RT-PCR result in ``reference.csv``."""
        files, problems = files_below(existing_folder(root))
        tables = [file for file in files if file.name.lower() == "reference.csv"]
        scans: dict[str, list[Path]] = {}
        for file in files:
            if file.suffix.lower() == ".mha":
                scans.setdefault(file.stem, []).append(file)
        if len(tables) == 1:
            found = _labelled(tables[0], scans)
            return Found(found.cases, problems + found.problems)
        if tables:
            both = f"{tables[0].relative_to(root)} and {tables[1].relative_to(root)}"
            problems.append(Problem(root, f"holds {both}; keep the one that belongs to the scans"))
        else:
            expected = "expected data/mha/<PatientID>.mha and metadata/reference.csv"
            problems.append(Problem(root, f"holds no reference.csv; {expected}"))
        return Found([], problems)


class CCC(Task):
    """Does this chest CT show COVID-19?"""

    facts: ClassVar[TaskFacts] = TaskFacts(
        title="COVID-19 classification on chest CT",
        kind="classification",
        metric="AUC",
        classes=("COVID-19",),
        modality="CT",
        region="lungs",
    )
    dataset = STOIC(
        title="STOIC 2021",
        licence="CC BY-NC 4.0",
        access="open: the public bucket stoic2021-training on AWS (2,000 scans); label probCOVID (RT-PCR)",
        preprocessing=Preprocessing(intensity="ct", region="lungs"),
        split_counts=SplitCounts(train=1000, validation=400, test=600),
    )
    generator = Chests


def _labelled(table: Path, scans: dict[str, list[Path]]) -> Found:
    """The scans, by patient, that have a row of their own in the table."""
    rows, problems = read_table(table, ("PatientID", _LABEL))
    labels: dict[str, int] = {}
    lines: dict[str, int] = {}
    for row in rows:
        patient, text = row.cells["PatientID"], row.cells[_LABEL]
        label, first = binary_label(text), lines.setdefault(patient, row.line)
        if first != row.line:
            reason = f"patient {patient!r} stands in line {first} already; keep one of the rows"
            problems.append(Problem(table, f"line {row.line}: {reason}"))
        elif label is None:
            reason = f"{_LABEL} of patient {patient!r} is {text!r}, neither 0 nor 1; correct it or remove the row"
            problems.append(Problem(table, f"line {row.line}: {reason}"))
        else:
            labels[patient] = label
    absent = [patient for patient in labels if patient not in scans]
    if absent:  # One problem: a download of some of the scans comes with the whole table.
        listed = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        reason = f"{len(absent)} of {len(rows)} rows have no scan ({listed}); add the .mha or remove the rows"
        problems.append(Problem(table, reason))
    for patient, files in scans.items() if rows else ():
        if patient not in lines:
            problems.append(Problem(files[0], f"has no row in {table}; add one or remove the scan"))
        problems += repeated(patient, files)
    identifiers = safe_identifiers(list(scans))
    cases = [
        SourceCase(identifier, files[0], labels[patient], patient)
        for identifier, (patient, files) in zip(identifiers, scans.items(), strict=True)
        if patient in labels and len(files) == 1
    ]
    return Found(in_order(cases), problems)


def _is_positive(split: str, index: int, seed: int) -> bool:
    """Every pair of neighbours holds one positive and one negative, in random order."""
    return bool(numpy_generator("ccc", "label", split, seed, index // 2).integers(2)) == bool(index % 2)
