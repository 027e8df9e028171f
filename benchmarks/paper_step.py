"""One pre-training step of each method at the paper's size: batch, windows, precision, seconds, peak memory.

    python benchmarks/paper_step.py [METHOD ...] [--preset paper] [--precision bf16] [--checkpointing]

Each method runs in a process of its own on random volumes; the second of two steps is timed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

from ssl_bench.registry import METHODS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="default: all that pre-train")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--precision", default="bf16", choices=["float32", "bf16"])
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    methods = options.methods or [name for name in METHODS.names() if name != "scratch"]
    if options.one:
        print(measure(methods[0], options.preset, options.precision, options.checkpointing), flush=True)
        return
    print("| Method | Volumes a step | Window | Precision | Checkpointing | Seconds | Peak memory (GiB) |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in methods:
        command = [
            sys.executable,
            __file__,
            name,
            "--one",
            "--preset",
            options.preset,
            "--precision",
            options.precision,
        ]
        done = subprocess.run([*command, *(["--checkpointing"] if options.checkpointing else [])], check=False)
        if done.returncode:
            print(f"| {name} | failed with exit code {done.returncode} | | | | | |", flush=True)


def measure(name: str, preset: str, precision: str, checkpointing: bool) -> str:
    """One row of the table."""
    import torch

    from ssl_bench.cells.plan import Planner
    from ssl_bench.data import Corpus
    from ssl_bench.draws import Draws, numpy_generator
    from ssl_bench.engine.optimisation import build_optimiser, descend
    from ssl_bench.engine.pretraining import build_method, pretext_loss
    from ssl_bench.engine.runtime import make_fabric, resolve_runtime
    from ssl_bench.settings import load_preset

    science = Planner(load_preset(preset), [], precision).pretraining(name, 0).science  # type: ignore[arg-type]
    fabric = make_fabric(resolve_runtime("auto", None), science.precision)
    method = build_method(science)
    method.backbone.checkpointing = checkpointing
    method, optimiser = fabric.setup(method, build_optimiser(method.optimised_parameters(), science.optimiser))
    for hook in ("training_step", "held_out_step"):
        method.mark_forward_method(hook)
    generator = torch.Generator().manual_seed(0)
    volumes = torch.rand(science.batch, science.crop, science.crop, science.crop, generator=generator)
    corpus = Corpus(volumes.numpy(), science.crop, fabric.device)
    if method.refresh_every:
        with torch.no_grad(), fabric.autocast():
            method.refresh(corpus, 0, numpy_generator(0))
    seconds = 0.0
    for step in range(2):
        start = time.perf_counter()
        windows = method.choose_windows(len(corpus), science.batch, numpy_generator(step))
        draws = Draws.keyed(0, samples=range(science.batch), device=fabric.device)
        loss = pretext_loss(fabric, method, corpus.read(windows), draws)
        descend(fabric, method, optimiser, loss, gradient_clip=0.0)
        float(loss.detach())
        seconds = time.perf_counter() - start
    if fabric.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(fabric.device) / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
    switched = "yes" if checkpointing else "no"
    return f"| {name} | {science.batch} | {science.crop}³ | {precision} | {switched} | {seconds:.1f} | {peak:.1f} |"


if __name__ == "__main__":
    main()
