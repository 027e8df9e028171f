"""Configurations without repetition: what cells share stands once, as a block that they point to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ssl_bench.report.page.model import Block, Facts
from ssl_bench.spec.record import EvaluationRecord, PretrainingRecord
from ssl_bench.spec.specification import ExternalBackbone, PretrainingSpec


class Blocks:
    """The blocks of one table, each kept once."""

    def __init__(self, prefix: str) -> None:
        """`prefix` begins every block's id."""
        self._prefix = prefix
        self._found: dict[tuple[str, Facts], Block] = {}
        self._titles: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Block]:
        """The blocks by title; those of one title in the order of their first use."""
        return (self._found[found] for found in sorted(self._found, key=lambda found: found[0].casefold()))

    def block(self, title: str, content: Mapping[str, Any]) -> Block:
        """The block that holds `content`; another content under the same title gets a number."""
        facts = tuple(flat(content))
        if (title, facts) not in self._found:
            self._titles[title] += 1
            number = f" ({self._titles[title]})" if self._titles[title] > 1 else ""
            name = f"{self._prefix}-b{len(self._found) + 1}"
            self._found[title, facts] = Block(name, title + number, facts)
        return self._found[title, facts]

    def of_evaluation(self, record: EvaluationRecord) -> list[Block]:
        """All that decided the record's scores but its seed, and where it ran."""
        spec = record.spec
        whole = spec.model_dump(mode="json")
        rest = {name: whole[name] for name in ("crop", "overlap", "precision")}
        found = [
            self.of_backbone(spec.backbone),
            self.block(f"Data: {spec.task}", whole["data"]),
            self.block(
                f"Protocol: {spec.protocol}", whole["protocol_settings"] | rest | {"absent classes": record.policy}
            ),
        ]
        if record.modules:
            found.append(self.block("Modules", record.modules.model_dump()))
        return [*found, self.of_environment(record)]

    def of_backbone(self, backbone: PretrainingSpec | ExternalBackbone) -> Block:
        """All that decided the weights but the seed."""
        return self.block(f"Backbone: {backbone.method}", backbone.model_dump(mode="json", exclude={"seed"}))

    def of_environment(self, record: EvaluationRecord | PretrainingRecord) -> Block:
        """Versions, commit and machine."""
        ran = {name: value for name, value in record.provenance.items() if name != "created"}
        return self.block("Environment", ran)


def flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested names joined by dots, values as text; what is empty says so."""
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if value is None or value in ({}, ""):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
