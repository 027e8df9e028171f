"""nnU-Net as a peer: its planner, its preprocessing in this process, and its store."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Planned(NamedTuple):
    """What nnU-Net planned for a raw data set."""

    name: str
    files: dict[str, dict[str, Any]]
    """Images and label by case."""
    manager: Any
    configuration: Any
    """Of its full resolution in 3D."""
    described: dict[str, Any]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        return tuple(map(float, self.configuration.spacing))


def lay_raw(cases: Sequence[tuple[Path, Path]], dataset: dict[str, Any], folder: Path, name: str) -> None:
    """A raw data set ``name`` in `folder` of links to scans and label maps."""
    root = folder / name
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
    for image, label in cases:
        case = image.name.removesuffix("_0000.nii.gz").removesuffix(".nii.gz")
        (root / "imagesTr" / f"{case}_0000.nii.gz").symlink_to(image.resolve())
        (root / "labelsTr" / f"{case}.nii.gz").symlink_to(label.resolve())
    kept = {name: dataset[name] for name in ("channel_names", "labels", "file_ending")}
    (root / "dataset.json").write_text(json.dumps(kept | {"numTraining": len(cases)}), "utf-8")


def plan(raw: Path, name: str, preprocessed: Path) -> Planned:
    """Fingerprint and default plan of the raw data set `name`, by one process."""
    os.environ |= {"nnUNet_raw": str(raw), "nnUNet_preprocessed": str(preprocessed), "nnUNet_results": str(raw)}
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        DatasetFingerprintExtractor(name, num_processes=1).run()
        ExperimentPlanner(name).plan_experiment()
    described = json.loads((raw / name / "dataset.json").read_text("utf-8"))
    manager = PlansManager(str(preprocessed / name / "nnUNetPlans.json"))
    files = get_filenames_of_train_images_and_targets(str(raw / name), described)
    return Planned(name, files, manager, manager.get_configuration("3d_fullres"), described)


def preprocess(planned: Planned, out: Path, labelled: bool = True) -> None:
    """Preprocess every case in this process, one after the other, and save it as nnU-Net does."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    out.mkdir(parents=True)
    preprocessor = DefaultPreprocessor(verbose=False)
    for case, files in planned.files.items():
        label = files["label"] if labelled else None
        preprocessor.run_case_save(
            str(out / case), files["images"], label, planned.manager, planned.configuration, planned.described
        )


def opened(folder: Path, case: str) -> tuple[Any, Any]:
    """Image and label (1, D, H, W) of a case, as nnU-Net's loader opens them."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    data, label, _, _ = nnUNetDatasetBlosc2(str(folder)).load_case(case)
    return data, label
