"""What a record's specification says, against this code: versions, the setting it follows from, embedded data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import cast

from ssl_bench.api.registry import BACKBONES, METHODS, PROTOCOLS, TASKS
from ssl_bench.data.generated import UNPLANNED, GeneratedCases, generated_corpus
from ssl_bench.errors import UserError
from ssl_bench.planning.reproduction import cell_of
from ssl_bench.spec.record import AnyRecord, kind_of_data
from ssl_bench.spec.specification import NUMERICS_VERSION, CorpusSpec, DataSpec, PretrainingSpec
from ssl_bench.submission.finding import Finding, refused, unvouched
from ssl_bench.submission.replanning import differences, replanned


def specification_findings(record: AnyRecord) -> Iterator[Finding]:
    """Which of its versions this code does not know, and whether the specification is what its setting makes here."""
    versions = list(version_findings(record))
    yield from versions
    yield from _data_findings(record)
    # Other versions had other defaults: what their settings made is not known here.
    if not versions:
        yield from _setting_findings(record)


def version_findings(record: AnyRecord) -> Iterator[Finding]:
    """Versions that are not those of this code: newer ones are refused, older ones load and are said to be older."""
    spec, backbone = record.spec, cell_of(record).backbone
    if spec.numerics > NUMERICS_VERSION:
        yield refused(f"is of version {spec.numerics} of the shared numerical code, newer than {NUMERICS_VERSION} here")
    if spec.numerics < NUMERICS_VERSION:
        yield unvouched(f"settings of version {spec.numerics} of the shared numerical code; here it is version "
                        f"{NUMERICS_VERSION}, whose scores differ")  # fmt: skip
    if backbone.is_external:
        yield unvouched("weights that came in a file, which is not here")
    else:
        yield from _method_findings(cast(PretrainingSpec, backbone))
    yield from _built_in("backbone", backbone.network, backbone.network_source, backbone.network in BACKBONES.names())
    if record.kind == "evaluation":
        protocol = record.spec.protocol
        yield from _built_in("protocol", protocol, record.spec.protocol_source, protocol in PROTOCOLS.names())


def _method_findings(spec: PretrainingSpec) -> Iterator[Finding]:
    yield from _built_in("method", spec.method, spec.plugin_source, spec.method in METHODS.names())
    if spec.init:
        yield unvouched("weights that came in a file, which is not here")
    if spec.plugin_source is None and spec.method in METHODS.names():
        version = METHODS.load(spec.method).facts.version
        if spec.method_version > version:
            yield refused(f"is of {spec.method} {spec.method_version}, newer than version {version} here")
        if spec.method_version < version:
            yield unvouched(f"{spec.method} {spec.method_version}, older than version {version} here")


def _built_in(kind: str, name: str, source: str | None, is_registered: bool) -> Iterator[Finding]:
    if source is not None:
        yield unvouched(f"the {kind} {name}, third-party code {source[:6]}, which is not here")
    elif not is_registered:
        yield refused(f"names the {kind} {name!r} without its code, and this version has none of that name")


def _data_findings(record: AnyRecord) -> Iterator[Finding]:
    data = record.spec.data
    if record.data != kind_of_data(data):
        yield refused(f"calls its data {record.data}, and its specification {kind_of_data(data)}")
    if data is None or data.is_real:
        return
    task = record.spec.task if record.kind == "evaluation" else ""
    if data.fingerprint != _embedded_fingerprint(task, data):
        what = f"the cohort of {task}" if task else "the corpus"
        yield unvouched(f"{what}, grown by another version of its generator, or from the submitter's own anatomy")


def _embedded_fingerprint(task: str, data: DataSpec | CorpusSpec) -> str:
    """What identifies embedded data here; empty where none can be grown."""
    return _fingerprint_of(task, data.model_copy(update={"fingerprint": UNPLANNED}).model_dump_json())


@cache
def _fingerprint_of(task: str, description: str) -> str:
    """From a description, as text, to its fingerprint: no voxel is grown."""
    if not task:
        return generated_corpus(CorpusSpec.model_validate_json(description)).describe().fingerprint
    try:
        TASKS.check(task)
        return GeneratedCases(task, None, DataSpec.model_validate_json(description)).describe().fingerprint
    except UserError:
        return ""


def _setting_findings(record: AnyRecord) -> Iterator[Finding]:
    setting = record.setting
    if record.kind == "evaluation" and record.paradigm != record.spec.paradigm:
        yield refused(f"calls its method {record.paradigm}, and {record.spec.method} is {record.spec.paradigm}")
    try:
        planned = replanned(record)
    except UserError as error:
        yield refused(f"is nothing that the preset {setting.preset} plans with its overrides: {error}")
        return
    if planned is None:
        yield unvouched(
            f"the setting {setting.digest}, which the preset {setting.preset} of this version does not make"
        )
        return
    if planned.setting.ranked != setting.ranked:
        yield refused(f"says ranked: {setting.ranked}, and its preset {setting.preset} says {planned.setting.ranked}")
    if found := differences(record.spec, planned.spec):
        said = f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}"
        yield refused(f"is not what the preset {setting.preset} makes with its overrides: {said}")
