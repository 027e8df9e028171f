"""Keys never change: every record that is kept has the key that its specification hashes to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.spec.specification import EvaluationSpec, PretrainingSpec

RESULTS = Path(__file__).parents[2] / "results" / "reference"
"""What is kept; beside it lies what commands in this checkout made."""
PRETRAININGS = sorted(RESULTS.glob("**/pretrained/*/record.json"))
EVALUATIONS = sorted(RESULTS.glob("**/records/**/*.json"))


def digest(name: str, spec: PretrainingSpec | EvaluationSpec) -> str:
    """The key as it has been made since the first record, written down a second time."""
    fields = json.dumps(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{name}:{fields}".encode()).hexdigest()[:16]


def test_no_kept_record_is_left_out() -> None:
    assert len(PRETRAININGS) == 1 + 4 + 17 + 23
    assert len(EVALUATIONS) == 25 + 65 + 208 + 76
    assert set(PRETRAININGS) | set(EVALUATIONS) == set(RESULTS.rglob("*.json"))


@pytest.mark.parametrize("path", PRETRAININGS, ids=lambda path: path.parent.name)
def test_a_pretraining_has_the_key_of_its_specification(path: Path) -> None:
    record = PretrainingRecord.model_validate_json(path.read_text("utf-8"))
    assert path.parent.name == record.key == record.spec.key == digest("PretrainingScience", record.spec)


@pytest.mark.parametrize("path", EVALUATIONS, ids=lambda path: f"{path.parents[4].name}-{path.stem}")
def test_an_evaluation_has_the_key_of_its_specification_and_so_has_its_backbone(path: Path) -> None:
    record = EvaluationRecord.model_validate_json(path.read_text("utf-8"))
    assert path.stem == record.key == record.spec.key == digest("EvaluationScience", record.spec)
    if record.spec.backbone.steps > 0:
        assert isinstance(record.spec.backbone, PretrainingSpec)
        assert path.parents[4] / "pretrained" / record.spec.backbone.key / "record.json" in PRETRAININGS


def test_a_field_that_says_nothing_new_is_not_hashed() -> None:
    fields = json.loads(EVALUATIONS[0].read_text("utf-8"))["science"]
    spec = EvaluationSpec.model_validate(fields)
    assert EvaluationSpec.model_validate(fields | {"protocol_source": None}).key == spec.key
    assert EvaluationSpec.model_validate(fields | {"protocol_source": "0" * 64}).key != spec.key
    assert spec.model_copy(update={"seed": spec.seed + 1}).key != spec.key
