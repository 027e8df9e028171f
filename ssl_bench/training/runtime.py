"""Where and with what a cell runs: recorded, never hashed."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["float32", "bf16"]
MALLOC_TRIM_THRESHOLD, MALLOC_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""
LIBRARIES = (
    "ssl-bench", "torch", "lightning-fabric", "lightly", "timm", "monai", "dynamic-network-architectures", "numpy",
    "scipy", "scikit-learn",
)  # fmt: skip


@dataclass(frozen=True)
class Runtime:
    """The device and its use."""

    device: str = "cpu"
    threads: int = 1
    ranks: tuple[str, ...] = ()
    """Devices that share each batch of a pre-training, one process each; empty for `device` alone."""
    checkpointing: bool = False
    """Compute activations again for the backward pass: less memory, more time, the same gradients."""
    checkpoint_seconds: float = 300.0
    """How often a cell saves its state, from which it goes on after an interruption; 0 after every step."""
    log: Literal["", "tensorboard"] = ""
    """The program for which a cell writes its numbers as they come; empty for none."""


def on_one_device(runtime: Runtime) -> Runtime:
    """The same on its first device, without ranks."""
    return replace(runtime, ranks=())


def resolve_runtime(device: str, threads: int | None, checkpointing: bool = False) -> Runtime:
    """`auto` is the first CUDA device, then Apple's, then the CPU. Raises UserError for a device that is not there."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise UserError(f"--device {device}: not a device; use auto, cpu, cuda, cuda:N or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        raise UserError(f"--device {device}: not available on this machine; use --device cpu")
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise UserError(f"--device {device}: this machine has {torch.cuda.device_count()} CUDA devices, from cuda:0 on")
    if threads is not None and threads < 1:
        raise UserError(f"--threads {threads}: must be at least 1")
    return Runtime(device, threads or usable_cores(), checkpointing=checkpointing)


def resolve_ranks(devices: str, threads: int | None, checkpointing: bool = False) -> Runtime:
    """Comma-separated devices that share each batch of a pre-training: ``0,1`` and ``cuda:0,cuda:1``, or ``cpu,cpu``.

    Everything else runs on the first. Raises UserError for a device that is not there, and for less than two.
    """
    names = [name.strip() for name in devices.split(",")]
    ranks = tuple(f"cuda:{name}" if name.isdecimal() else name for name in names)
    for name in ranks:
        if name != "cpu" and not name.startswith("cuda:"):
            raise UserError(f"--devices {devices}: {name!r} is not a device to share a batch; name cuda:N, or cpu")
        resolve_runtime(name, threads)
    on_gpus = [name for name in ranks if name != "cpu"]
    if len(ranks) < 2 or (on_gpus and len(set(on_gpus)) < len(ranks)):
        raise UserError(f"--devices {devices}: --strategy ddp needs two different CUDA devices or more, or cpu,cpu")
    each = threads or max(1, usable_cores() // len(ranks))
    return Runtime(ranks[0], each, checkpointing=checkpointing, ranks=ranks)


def resolve_precision(precision: Literal["auto", "float32", "bf16"], device: str) -> Precision:
    """`auto` is bf16 where the processor computes it natively, float32 elsewhere: emulated bf16 is slower."""
    import torch

    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"
    return "float32"


def make_fabric(runtime: Runtime, precision: Precision) -> Fabric:
    """Lightning Fabric for one device, or for one that each rank has: placement and autocast."""
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    torch.set_num_threads(runtime.threads)
    if not runtime.checkpointing:
        _keep_freed_memory()
    kind, _, index = runtime.device.partition(":")
    devices: int | list[int] = [int(index)] if index else 1
    options: dict[str, object] = {}
    if runtime.ranks:
        devices = len(runtime.ranks) if kind == "cpu" else [int(name.partition(":")[2]) for name in runtime.ranks]
        options["strategy"] = DDPStrategy(start_method="spawn")
        # A batch system's variables are about its tasks, not about these processes.
        options["plugins"] = [LightningEnvironment()]
    options["precision"] = "bf16-mixed" if precision == "bf16" else "32-true"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Fabric(accelerator=kind, devices=devices, **options)


def _keep_freed_memory() -> None:
    """Have the C library (glibc) use freed memory again instead of returning it to the system.

    By default every tensor above 32 MiB is mapped and unmapped anew, and clearing its pages took a tenth of a
    pre-training step and a third of a probe's with many classes. A process keeps what it needed at its peak, and more
    than that, since what it keeps lies in pieces: whoever asks for less memory is not served so.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(MALLOC_MMAP_MAX, 0)
        library.mallopt(MALLOC_TRIM_THRESHOLD, -1)


def peak_of_process() -> int:
    """The most memory in bytes that this process has held in RAM since it began to run its program."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    # On Linux ru_maxrss begins with the size of the process that started this one. Not every container has this line.
    if peak := next((line for line in lines if line.startswith("VmHWM:")), ""):
        return int(peak.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Stopwatch:
    """What a piece of work costs, from now on and on top of what it cost before; of ranks, the first is watched."""

    def __init__(self, runtime: Runtime, before: Mapping[str, float] = MappingProxyType({})) -> None:
        import torch

        self.runtime = runtime
        self.before = before
        self.wall = time.perf_counter()
        self.processor = time.process_time()
        if runtime.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(runtime.device)

    def read(self) -> dict[str, float]:
        """Seconds on the clock, on the device and of the processor, and peak memory in MiB of process and device."""
        import torch

        wall = time.perf_counter() - self.wall
        on_gpu = self.runtime.device.startswith("cuda")
        cost = {
            "wall_seconds": round(wall, 3),
            "device_seconds": round(wall * max(1, len(self.runtime.ranks)), 3),
            "processor_seconds": round(time.process_time() - self.processor, 3),
            "peak_process_mib": round(peak_of_process() / 2**20, 1),
        }
        if on_gpu:
            cost["peak_device_mib"] = round(torch.cuda.max_memory_allocated(self.runtime.device) / 2**20, 1)
        for name, earlier in self.before.items():
            now = cost.get(name, 0.0)
            cost[name] = max(now, earlier) if name.startswith("peak") else round(now + earlier, 3)
        return cost


def provenance(runtime: Runtime, precision: Precision) -> dict[str, object]:
    """Versions, commit, machine and device: what a reader needs to judge whether two numbers may be compared."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "device": _device_name(runtime.device),
        "processor": _processor(),
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "threads": runtime.threads,
        "ranks": max(1, len(runtime.ranks)),
        "checkpointing": runtime.checkpointing,
        "precision": precision,
        "platform": platform.platform(),
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found


@cache
def _commit() -> str | None:
    """The commit of the source checkout, with ``+changes`` if it was edited; None for an installed wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()


@cache
def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


@cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def usable_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
