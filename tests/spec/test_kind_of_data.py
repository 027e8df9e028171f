"""A record says whether its numbers come from real scans."""

from __future__ import annotations

from ssl_bench.planning.planner import Planner
from ssl_bench.spec.record import SEMI_REAL, kind_of_data
from ssl_bench.spec.specification import CorpusSpec


def test_a_pretraining_is_of_the_kind_of_its_corpus(planner: Planner) -> None:
    spec = planner.pretraining("gvsl", 0).pretraining_spec
    assert spec.corpus is not None
    assert kind_of_data(spec.data) == SEMI_REAL
    folder = CorpusSpec(source="folder", fingerprint="f", recipe={}, volumes=8, held_out=1)
    assert kind_of_data(spec.model_copy(update={"corpus": folder}).data) == "real"
