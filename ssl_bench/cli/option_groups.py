"""Options that several commands take together, each group one object, given and passed on in one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ssl_bench.api.registry import BACKBONES, EXECUTORS
from ssl_bench.cli import options
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.api.executor import Devices, Executor
    from ssl_bench.store.store import Store
    from ssl_bench.training.runtime import Runtime


@dataclass(frozen=True)
class Resolution:
    """From what the spec of a cell is resolved, besides its data."""

    preset: options.Preset = "quick"
    tuned: options.Tuned = None
    set_: options.Set = None
    plugin: options.Plugin = None
    precision: options.PrecisionOption = None

    def on_network(self, name: str | None) -> Resolution:
        """These options with the network that ``--backbone`` names, None for the preset's.

        Raises UserError for one that is not registered, and where ``--set backbone`` names another.
        """
        if name is None:
            return self
        check_network(name, "--backbone")
        said = [one for one in self.set_ or [] if one.startswith("backbone=")]
        if said and said[-1] != f"backbone={name}":
            raise UserError(f"--backbone {name}: --set {said[-1]} names another; leave one out")
        return replace(self, set_=[*(self.set_ or []), f"backbone={name}"])


def check_network(name: str, option: str) -> None:
    """Raise UserError, naming `option`, unless `name` is a registered backbone; of a file it says what reads it."""
    if name not in BACKBONES.names() and Path(name).exists():
        raise UserError(
            f"{option} {name}: a file, and a network is meant here: {', '.join(BACKBONES.names())}; "
            "weights in a file are for ssl-bench evaluate --backbone FILE"
        )
    BACKBONES.check(name)


@dataclass(frozen=True)
class Start:
    """What a pre-training starts from."""

    init: options.Init = None
    init_weights: options.InitWeights = None
    trained_on: options.TrainedOn = ""


@dataclass(frozen=True)
class TaskData:
    """The cases of the task."""

    anatomy: options.Anatomy = None
    data_root: options.DataRoot = None
    split: options.Split = None
    subjects: options.Subjects = None
    fold: options.Fold = 0
    cross_validation: options.CrossValidation = 0
    label_fraction: options.LabelFraction = 1.0
    stem: options.StemOption = options.Stem.none


@dataclass(frozen=True)
class CorpusData:
    """The scans of the pre-training."""

    corpus: options.Corpus = None
    corpus_region: options.CorpusRegion = ""
    take_labels: options.TakeLabels = False
    allow_overlap: options.AllowOverlap = False


@dataclass(frozen=True)
class Scheduling:
    """Where the cells of a matrix run."""

    executor: options.Executor = "inline"
    workers: options.Workers = None
    retries: options.Retries = None
    cell_timeout: options.CellTimeout = None
    executor_set: options.ExecutorSet = None
    slurm: options.Slurm = None

    def chosen(self, asked: Devices) -> Executor:
        """The executor with its options. Raises UserError for an unknown one, and for options that it does not have."""
        from ssl_bench.api.settings import nested, validated

        if self.executor not in EXECUTORS.names():
            raise UserError(f"--executor {self.executor}: unknown; use {', '.join(EXECUTORS.names())}")
        plugin = EXECUTORS.load(self.executor)
        values = nested(self.executor_set or [], "--executor-set")
        for name in ("workers", "retries", "cell_timeout"):
            value = getattr(self, name)
            if value is not None and name not in plugin.Settings.model_fields:
                raise UserError(f"--{name.replace('_', '-')} {value}: needs --executor local")
            values |= {} if value is None else {name: value}
        for pair in self.slurm or []:
            if self.executor != "slurm":
                raise UserError(f"--slurm {pair}: needs --executor slurm")
            nested([pair], "--slurm", values)
        where = "--slurm" if self.slurm else "--executor-set"
        return plugin(validated(plugin.Settings, values, where), asked)


@dataclass(frozen=True)
class Execution:
    """How a cell runs, and what is said about it."""

    results: options.Results = None
    device: options.Device = "auto"
    threads: options.Threads = None
    checkpointing: options.Checkpointing = False
    checkpoint_seconds: options.CheckpointSeconds = 300.0
    log: options.LogOption = options.Log.none
    as_json: options.Json = False
    quiet: options.Quiet = False

    def store(self) -> Store:
        """The results folder."""
        from ssl_bench.store.store import Store, results_folder

        return Store(results_folder(self.results))

    def runtime(self) -> Runtime:
        """Raises UserError for a device that is not there."""
        from ssl_bench.training.runtime import resolve_runtime

        return self._completed(resolve_runtime(self.device, self.threads, checkpointing=self.checkpointing))

    def _completed(self, found: Runtime) -> Runtime:
        if self.log is options.Log.tensorboard and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
            raise UserError("--log tensorboard: needs a package that is not here; pip install 'ssl-bench[tensorboard]'")
        return replace(found, checkpoint_seconds=self.checkpoint_seconds, log=self.log.value)


@dataclass(frozen=True)
class PretrainingExecution(Execution):
    """How a cell runs that may be a pre-training, on several devices if asked to."""

    devices: options.Devices = None
    strategy: options.StrategyOption = options.Strategy.single

    def asked(self, precision: options.Precision | None) -> Devices:
        """What the options say of devices, for an executor."""
        from ssl_bench.api.executor import Devices

        return Devices(self.device, self.devices, self.strategy, self.threads, precision)

    def runtime(self) -> Runtime:
        """Raises UserError for a device that is not there, and for devices without a use."""
        from ssl_bench.training.runtime import resolve_ranks

        if self.strategy is options.Strategy.single:
            if self.devices is not None:
                raise UserError(f"--devices {self.devices}: needs --strategy ddp; for one device use --device")
            return super().runtime()
        if self.devices is None or self.device != "auto":
            raise UserError("--strategy ddp: name the devices with --devices 0,1 and leave out --device")
        return self._completed(resolve_ranks(self.devices, self.threads, checkpointing=self.checkpointing))


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as typer wants it: in place of a parameter that is a group, one option for each of its fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _options_of(groups[parameter.name])
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))

    @functools.wraps(command)
    def gather(**given: Any) -> None:
        gathered = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()
        }
        command(**given, **gathered)

    gather.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    gather.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return gather


def _options_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]
