"""The contracts that plugins keep, and how plugins are found. A name is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_bench.api.backbone import Backbone as Backbone
    from ssl_bench.api.backbone import BackboneFacts as BackboneFacts
    from ssl_bench.api.backbone import Features as Features
    from ssl_bench.api.cases import Case as Case
    from ssl_bench.api.cases import Found as Found
    from ssl_bench.api.cases import Problem as Problem
    from ssl_bench.api.cases import SourceCase as SourceCase
    from ssl_bench.api.cases import Split as Split
    from ssl_bench.api.dataset import Dataset as Dataset
    from ssl_bench.api.downstream import Downstream as Downstream
    from ssl_bench.api.executor import Devices as Devices
    from ssl_bench.api.executor import Executor as Executor
    from ssl_bench.api.executor import ExecutorFacts as ExecutorFacts
    from ssl_bench.api.executor import ExecutorSettings as ExecutorSettings
    from ssl_bench.api.generator import Generator as Generator
    from ssl_bench.api.method import CorpusView as CorpusView
    from ssl_bench.api.method import Method as Method
    from ssl_bench.api.method import MethodConfig as MethodConfig
    from ssl_bench.api.method import Windows as Windows
    from ssl_bench.api.method_facts import MethodFacts as MethodFacts
    from ssl_bench.api.preprocessing import Preprocessing as Preprocessing
    from ssl_bench.api.protocol import CaseBatches as CaseBatches
    from ssl_bench.api.protocol import Protocol as Protocol
    from ssl_bench.api.protocol import ProtocolFacts as ProtocolFacts
    from ssl_bench.api.protocol import ProtocolSettings as ProtocolSettings
    from ssl_bench.api.protocol import Search as Search
    from ssl_bench.api.protocol import SearchSettings as SearchSettings
    from ssl_bench.api.protocol import Training as Training
    from ssl_bench.api.rng import Draws as Draws
    from ssl_bench.api.search import Choice as Choice
    from ssl_bench.api.search import LogUniform as LogUniform
    from ssl_bench.api.settings import Settings as Settings
    from ssl_bench.api.settings import SplitCounts as SplitCounts
    from ssl_bench.api.task import Task as Task
    from ssl_bench.api.task import TaskFacts as TaskFacts

_NAMES = {
    "backbone": ("Backbone", "BackboneFacts", "Features"),
    "cases": ("Case", "Found", "Problem", "SourceCase", "Split"),
    "dataset": ("Dataset",),
    "downstream": ("Downstream",),
    "executor": ("Devices", "Executor", "ExecutorFacts", "ExecutorSettings"),
    "generator": ("Generator",),
    "method": ("CorpusView", "Method", "MethodConfig", "Windows"),
    "method_facts": ("MethodFacts",),
    "preprocessing": ("Preprocessing",),
    "protocol": (
        "CaseBatches",
        "Protocol",
        "ProtocolFacts",
        "ProtocolSettings",
        "Search",
        "SearchSettings",
        "Training",
    ),
    "rng": ("Draws",),
    "search": ("Choice", "LogUniform"),
    "settings": ("Settings", "SplitCounts"),
    "task": ("Task", "TaskFacts"),
}
"""Names by module: asking for one contract does not import torch for another."""
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
