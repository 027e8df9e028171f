"""One planned unit of work: a pre-training or an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ssl_bench.spec.folds import CrossValidation
from ssl_bench.spec.locations import Locations
from ssl_bench.spec.record import Setting, kind_of_data
from ssl_bench.spec.specification import CellSpec, EvaluationSpec, ExternalBackbone, PretrainingSpec


class Cell(BaseModel):
    """One planned unit of work: a pre-training or an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, serialize_by_alias=True)
    kind: Literal["pretraining", "evaluation"]
    spec: CellSpec = Field(validation_alias="science", serialization_alias="science")
    setting: Setting
    locations: Locations = Field(default=Locations(), validation_alias="sources", serialization_alias="sources")
    """Where its volumes lie."""
    overlap: tuple[str, ...] = ()
    """Validation and test cases of which the pre-training corpus holds the scan, or another of the same patient."""
    left_out: tuple[str, ...] = ()
    """Files of the user's data set that are left out, each with the reason."""
    split_by: Literal["", "patient", "case"] = ""
    """By what the user's data set is split: by case where nothing says who was scanned; empty for embedded data."""
    cross_validation: CrossValidation | None = None
    """The folds of which the cell's is one; None for the only fold, and where folds share their test cases."""
    backbone_file: Path | None = None
    """Where an external backbone's weights lie, or those that the pre-training starts from."""
    snapshots: tuple[int, ...] = ()
    """Steps after which the pre-training keeps its backbone besides the end, ascending: of the cell itself, or of the
    one that it rests on. They change nothing of what is trained."""
    plugins: tuple[Path, ...] = ()
    """Files named by ``--plugin`` that define what the cell needs."""

    @property
    def key(self) -> str:
        """The cell's name in the store."""
        return self.spec.key

    @property
    def title(self) -> str:
        """The cell in words."""
        return self.spec.title

    @property
    def evaluation(self) -> EvaluationSpec:
        """The specification of an evaluation. Raises TypeError for a pre-training."""
        if not isinstance(self.spec, EvaluationSpec):
            raise TypeError(f"cell {self.key} is a pre-training")
        return self.spec

    @property
    def pretraining_spec(self) -> PretrainingSpec:
        """The specification of a pre-training. Raises TypeError for an evaluation."""
        if not isinstance(self.spec, PretrainingSpec):
            raise TypeError(f"cell {self.key} is an evaluation")
        return self.spec

    def kept_in_record(self) -> dict[str, Any]:
        """What the record of an evaluation says as the cell does. Raises TypeError for a pre-training."""
        spec = self.evaluation
        return {
            "key": self.key,
            "setting": self.setting,
            "data": kind_of_data(spec.data),
            "overlap": list(self.overlap),
            "left_out": list(self.left_out),
            "split_by": self.split_by,
            "cross_validation": self.cross_validation,
            "spec": spec,
        }

    @property
    def backbone(self) -> PretrainingSpec | ExternalBackbone:
        """The backbone that an evaluation starts from, or that a pre-training makes."""
        return self.spec.backbone if isinstance(self.spec, EvaluationSpec) else self.spec

    @property
    def pretraining(self) -> Cell | None:
        """The pre-training this evaluation rests on; None if it needs none."""
        backbone = self.backbone
        if self.kind == "pretraining" or not isinstance(backbone, PretrainingSpec) or backbone.steps == 0:
            return None
        return Cell(
            kind="pretraining",
            spec=backbone,
            setting=self.setting,
            locations=self.locations,
            snapshots=self.snapshots,
            backbone_file=self.backbone_file,
            plugins=self.plugins,
        )
