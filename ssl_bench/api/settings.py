"""Settings: presets in TOML, overridden by ``--set a.b=c``, validated before anything runs."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from ssl_bench.api.registry import PROTOCOLS
from ssl_bench.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Frozen, and unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserSettings(Settings):
    """An optimiser of timm and its schedule over the whole run."""

    name: Literal["adam", "adamw", "sgd"]
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine"]
    warmup_steps: int = Field(ge=0)
    gradient_clip: float = Field(ge=0)
    """Largest gradient norm; 0 for no clipping."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of matrices and kernels, not of biases and norms. adamw decouples it from the gradient, the others add it to the
    gradient."""

    def changed(
        self, steps: int, learning_rate: float | None, warmup_share: float | None, weight_decay: float | None
    ) -> Self:
        """For so many `steps`, with what is not None in place of its own; a decay with adam makes it adamw."""
        changes: dict[str, Any] = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        if warmup_share is not None:
            changes["warmup_steps"] = round(warmup_share * steps)
        if weight_decay and self.name == "adam":
            changes["name"] = "adamw"
        return self.model_copy(update={name: value for name, value in changes.items() if value is not None})


class SplitCounts(Settings):
    """Cases of the embedded cohort in each split."""

    train: PositiveInt
    validation: PositiveInt
    test: PositiveInt


class CohortSettings(Settings):
    """The embedded semi-real volumes."""

    detail: float = Field(ge=1)
    """1 is each task's coarsest spacing; 2 halves it."""
    corpus: PositiveInt
    """Unlabelled volumes for pre-training."""
    held_out: PositiveInt
    """Unlabelled volumes on which the pretext loss is watched."""
    segmentation: SplitCounts
    classification: SplitCounts


class PretrainingSettings(Settings):
    """The common setting under which every method pre-trains."""

    steps: PositiveInt
    crop: int = Field(ge=16)
    """Side in voxels of the windows that methods see."""
    batch: PositiveInt
    """Volumes a step; a method that needs more gets its smallest batch."""
    optimiser: OptimiserSettings
    watch_every: PositiveInt
    """Steps between two looks at the held-out pretext loss; the last 20 steps are watched one by one."""


class Sizing(Settings):
    """What a preset lets a data set decide, see `ssl_bench.data.sizing`; what the user states is never changed.

    `Preset.crop` and `PretrainingSettings.crop` are then the largest windows.
    """

    voxels: PositiveInt
    """The grid is coarsened until the median case has at most so many."""
    folds: int = Field(ge=3)
    """So many are dealt, in place of one split, where a data set has fewer subjects than `folds_below`."""
    folds_below: PositiveInt


class TuningSettings(Settings):
    """How ``ssl-bench tune`` found options of methods: what their rows have seen before they are compared."""

    preset: str
    """The preset that was tuned."""
    overrides: tuple[str, ...] = ()
    """With these changes."""
    protocol: str
    tasks: tuple[str, ...]
    """Those whose validation cases chose; test cases were not read."""
    seeds: tuple[int, ...]
    """Of the trials: no seed of a comparison."""
    configurations: PositiveInt
    """So many of each row."""
    device_seconds: PositiveFloat | None = None
    """At most so many for each row; None for no limit."""
    trials: dict[str, str]
    """A digest of the trials of each method."""


class Preset(Settings):
    """Everything that a cell's spec is resolved from."""

    name: str
    ranked: bool
    """Whether results may stand in a leaderboard: a smoke test's may not."""
    backbone: str = "unet3d"
    """The network that methods pre-train, by its name."""
    width: PositiveInt = Field(multiple_of=8)
    """Channels of the backbone at full resolution."""
    crop: int = Field(ge=16)
    """Side in voxels of downstream training crops and of the inference window."""
    overlap: float = Field(ge=0, lt=1)
    """How much neighbouring inference windows overlap, as a fraction of the crop."""
    precision: Literal["auto", "float32", "bf16"]
    """`auto`: bf16 where the processor computes it natively."""
    cohort: CohortSettings
    pretraining: PretrainingSettings
    protocols: dict[str, dict[str, Any]]
    """Settings of each protocol, by its name with the version; validated by the protocol."""
    methods: dict[str, dict[str, Any]] = {}
    """Options of methods that differ from their defaults; validated by the method."""
    data: dict[str, dict[str, Any]] = {}
    """Changes to the preprocessing of real data, by the task's name or ``corpus``; validated by `Preprocessing`."""
    sizing: Sizing | None = None
    """What real data decide; None where the preset decides everything."""
    not_in_all: dict[str, str] = {}
    """Tasks that ``--tasks all`` leaves out, each with the reason; named, they run."""
    tuning: TuningSettings | None = None
    """How the options in `methods` were found; None where nobody looked."""


def preset_names() -> list[str]:
    """The presets that ship with ssl-bench."""
    folder = importlib.resources.files("ssl_bench.api.presets")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_preset(name: str, overrides: Iterable[str] = (), tuned: Path | None = None) -> Preset:
    """The preset `name` with what ``ssl-bench tune --freeze`` wrote into `tuned`, and ``a.b=c`` overrides over both.

    Raises UserError for an unknown name, path or a bad value.
    """
    if name not in preset_names():
        raise UserError(f"unknown preset {name!r}; known: {', '.join(preset_names())}")
    text = importlib.resources.files("ssl_bench.api.presets").joinpath(f"{name}.toml").read_text("utf-8")
    values: dict[str, Any] = {"name": name, **tomllib.loads(text)}
    if tuned is not None:
        frozen = _read_tuned(tuned)
        if frozen.tuning.preset != name:
            raise UserError(f"--tuned {tuned}: was tuned for the preset {frozen.tuning.preset}; use --preset with that")
        methods = values.setdefault("methods", {})
        for method, found in frozen.methods.items():
            methods[method] = methods.get(method, {}) | found
        values["tuning"] = frozen.tuning.model_dump()
    return validated(Preset, nested(overrides, "--set", values), f"preset {name}")


class _Tuned(Settings):
    """What a file of ``ssl-bench tune --freeze`` holds: two tables of a preset."""

    tuning: TuningSettings
    methods: dict[str, dict[str, Any]] = {}


def _read_tuned(file: Path) -> _Tuned:
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"--tuned {file}: does not read ({said}); write it with ssl-bench tune --freeze") from error
    return validated(_Tuned, values, f"--tuned {file}")


def nested(pairs: Iterable[str], option: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """``a.b=c`` pairs put into `values`, c in TOML, or ``null``. Raises UserError, naming `option`, for a bad one."""
    found: dict[str, Any] = {} if values is None else values
    for pair in pairs:
        _apply(found, pair, option)
    return found


def validated(model: type[Model], values: Any, where: str) -> Model:
    """`values` as a `model`; its first complaint as a UserError that says `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        complaint = first_complaint(error, "")
        unknown = error.errors()[0]["type"] == "extra_forbidden" and "." not in complaint.partition(":")[0]
        way_out = "; correct it" if where.startswith("--") else "; correct it with --set"
        known = f"; known: {', '.join(model.model_fields)}" if unknown else ""
        raise UserError(f"{where}: {complaint}{known}{way_out}") from error


def first_complaint(error: ValidationError, whole: str) -> str:
    """The place of the first thing that is wrong, `whole` if it is everything, and what is wrong there."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place or whole}: {first['msg'].lower()}"


def _apply(values: dict[str, Any], override: str, option: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UserError(f"{option} {override}: expected a.b=value, e.g. --set pretraining.steps=200")
    *parents, leaf = path.split(".")
    if parents[:1] == ["protocols"] and len(parents) > 1:
        parents[1] = PROTOCOLS.newest(parents[1])
    place = values
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UserError(f"{option} {override}: {parent!r} holds a value, not a group of settings")
    place[leaf] = _literal(text)


def _literal(text: str) -> Any:
    if text == "null":  # which TOML lacks
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
