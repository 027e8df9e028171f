"""SimCLR's step beside lightly's modules put together as in its documentation."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from benchmarks.peer_rows import rows
from benchmarks.stepping import native_precision, plan
from benchmarks.tables import Row
from benchmarks.timing import Options
from ssl_bench.methods.simclr import SimCLR
from ssl_bench.nn.queue import nt_xent
from ssl_bench.training.optimisation import build_optimiser, descend
from ssl_bench.training.pretraining import build_method
from ssl_bench.training.runtime import Runtime, make_fabric
from ssl_bench.transforms.views import view_size


class Lightly(nn.Module):
    """`SimCLR` of lightly's documentation, with this project's encoder as its backbone."""

    def __init__(self, backbone: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = projection

    def forward(self, views: Tensor) -> Tensor:
        found: Tensor = self.projection_head(self.backbone.encode(views).mean(dim=(2, 3, 4)))
        return found


def steps(options: Options) -> list[Row]:
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead

    sizes = ["width=8", "pretraining.crop=16"] if options.quick else ["width=8", "pretraining.crop=48"]
    precision = native_precision(options)
    spec = plan("simclr", precision, sizes)
    fabric = make_fabric(Runtime(options.device, options.threads), precision)
    method = build_method(spec)
    assert isinstance(method, SimCLR)
    assert spec.optimiser is not None
    criterion = NTXentLoss(temperature=method.temperature)
    head = SimCLRProjectionHead(method.backbone.global_channels, method.Config().hidden, method.Config().output)
    same = dict(zip(head.state_dict(), method.projection.state_dict().values(), strict=True))
    head.load_state_dict(copy.deepcopy(same))
    alike = Lightly(copy.deepcopy(method.backbone), head)
    plain = copy.deepcopy(alike).to(memory_format=torch.contiguous_format)
    views = [torch.rand(spec.batch, 1, *view_size(spec.crop, method.backbone.stride)) for _ in range(2)]
    views = [view.to(fabric.device) for view in views]
    optimiser = build_optimiser(method.optimised_parameters(), spec.optimiser)
    wrapped, optimiser = fabric.setup(method, optimiser)
    wrapped.mark_forward_method("project")
    theirs = {model: torch.optim.Adam(model.parameters(), lr=spec.optimiser.learning_rate) for model in (alike, plain)}
    for model in theirs:
        fabric.to_device(model)

    def ours() -> Tensor:
        with fabric.autocast():
            loss = nt_xent(wrapped.project(views[0]), wrapped.project(views[1]), method.temperature)
        descend(fabric, wrapped, optimiser, loss, spec.optimiser.gradient_clip)  # type: ignore[union-attr]
        return loss.detach()

    def lightly(model: nn.Module, mixed: bool) -> Tensor:
        with torch.autocast(fabric.device.type, torch.bfloat16, enabled=mixed):
            loss: Tensor = criterion(model(views[0]), model(views[1]))
        theirs[model].zero_grad()
        loss.backward()
        theirs[model].step()
        return loss.detach()

    mixed = precision == "bf16"
    with torch.no_grad(), torch.autocast(fabric.device.type, enabled=False):
        first = nt_xent(method.project(views[0]), method.project(views[1]), method.temperature)
        torch.testing.assert_close(first, criterion(plain(views[0]), plain(views[1])), atol=1e-4, rtol=0)
    named = f"SimCLR's step, {spec.batch} pairs of views of {view_size(spec.crop, 16)[0]}³, width {spec.width}"
    peers = {
        f"lightly, {precision}, channels last": lambda: lightly(alike, mixed),
        "lightly, torch's defaults": lambda: lightly(plain, False),
    }
    return rows(named, ours, peers, options, "first loss in float32 to 1e-4")
