"""What every backbone owes the harness: stages as promised, gradients everywhere, and nothing that is random."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor

from ssl_bench.api.backbone import Backbone
from ssl_bench.api.registry import BACKBONES
from ssl_bench.api.rng import seeded_initialisation
from ssl_bench.conformance import Check, checks_of
from ssl_bench.conformance.method_under_test import WIDTH, off_zero, same, some
from ssl_bench.errors import UserError
from ssl_bench.nn.sparse import require_sparse
from ssl_bench.weights.stem import entering

BATCH = 2


class BackboneUnderTest:
    """A registered backbone, built small, on volumes of noise."""

    def __init__(self, name: str) -> None:
        """Raises UserError if there is no such backbone or it does not import."""
        self.name = name
        self.plugin = BACKBONES.load(name)
        self.facts = self.plugin.facts

    def build(self, seed: int = 0, channels: int = 1) -> Backbone:
        """The backbone with the weights of `seed`, for volumes of so many `channels`."""
        with seeded_initialisation(seed):
            return self.plugin.reading(channels, WIDTH)

    @property
    def volumes(self) -> Tensor:
        """(2, 1, D, H, W) in [0, 1], of sizes that no stride divides but one."""
        side = max(16, self.plugin.stride)
        size = (side + 3, side, side - 1)
        return torch.rand(BATCH, 1, *size, generator=torch.Generator().manual_seed(0))


def facts_are_complete(subject: BackboneUnderTest) -> str | None:
    """Title and source say what it is and who described it."""
    if not subject.facts.title or not subject.facts.source:
        return "facts.title and facts.source must say what the backbone is and who described it"
    return None


def stages_fit(subject: BackboneUnderTest) -> str | None:
    """Encoder stages have the channels of `stage_channels` and the extent of `stage_strides`, which end in `stride`."""
    backbone, volumes = subject.build(), subject.volumes
    channels, strides, padded = backbone.stage_channels, backbone.stage_strides, backbone.pad(volumes).shape[2:]
    if len(strides) != len(channels) or any(coarse % fine for fine, coarse in pairwise(strides)):
        return f"stage_strides {strides} are not one for each of {len(channels)} stages, each a multiple of the finer"
    promised = [
        (BATCH, count, *(side // stride for side in padded)) for count, stride in zip(channels, strides, strict=True)
    ]
    found = [tuple(stage.shape) for stage in backbone.stages(volumes)]
    if found != promised:
        return f"the stages of volumes padded to {tuple(padded)} are {found}, promised {promised}"
    if strides[-1] != backbone.stride:
        return f"{len(channels)} stages make a stride of {strides[-1]}, not {backbone.stride}"
    odd = [count for count in (backbone.global_channels, backbone.local_channels) if count % 8]
    return f"global or local channels {odd} are no multiples of 8, by which heads normalise" if odd else None


def features_fit(subject: BackboneUnderTest) -> str | None:
    """Local features are cropped to the volume, global ones are those of the encoder alone."""
    backbone, volumes = subject.build(), subject.volumes
    features = backbone(volumes)
    wanted = (BATCH, backbone.local_channels, *volumes.shape[2:])
    if tuple(features.local.shape) != wanted:
        return f"the local features are {tuple(features.local.shape)}, not {wanted}"
    if not features.local.isfinite().all():
        return "the local features are not finite"
    if not torch.equal(features.global_, backbone.encode(volumes)):
        return "`encode` gives other global features than the whole network"
    return None


def gradients_reach_all(subject: BackboneUnderTest) -> str | None:
    """A gradient of local features reaches every layer of encoder and decoder, one of global features the encoder's."""
    backbone = off_zero(subject.build())
    for part, modules in (
        ("local", (*backbone.encoder_modules, *backbone.decoder_modules)),
        ("global_", backbone.encoder_modules),
    ):
        backbone.zero_grad()
        getattr(backbone(subject.volumes), part).square().mean().backward()
        learning = {name for name, weight in backbone.named_parameters() if _reached(weight)}
        inside = {name for name, _ in backbone.named_parameters() if name.partition(".")[0] in modules}
        if missed := sorted(inside - learning):
            return f"from the {part.strip('_')} features no gradient reaches {some(missed)}"
        if beyond := sorted(learning - inside):
            return f"from the {part.strip('_')} features a gradient reaches {some(beyond)}, which {modules} do not hold"
    return None


def seeds_reproduce(subject: BackboneUnderTest) -> str | None:
    """The same seed gives the same weights and bits, another seed other weights, and a pass draws nothing."""
    one, again, other = subject.build(), subject.build(), subject.build(seed=1)
    weights = one.state_dict()
    if changed := [name for name, value in again.state_dict().items() if not same(value, weights[name])]:
        return f"two builds under one seed differ in {some(changed)}: draw them from torch's generator, which is seeded"
    if all(same(value, weights[name]) for name, value in other.state_dict().items()):
        return "another seed gives the same weights"
    before = torch.get_rng_state()
    first, second = one(subject.volumes).local, again(subject.volumes).local
    if not torch.equal(first, second) or not torch.equal(before, torch.get_rng_state()):
        return "two passes differ, or draw random numbers: the harness seeds initial weights alone"
    return None


def weights_have_one_name(subject: BackboneUnderTest) -> str | None:
    """No weight stands under two names, so that files hold each once."""
    names: dict[int, str] = {}
    for name, value in subject.build().state_dict().items():
        first = names.setdefault(value.data_ptr(), name)
        if first != name and value.numel():
            return f"{first} and {name} are one tensor, which no file can hold twice; delete one of the names"
    return None


def passes_change_nothing(subject: BackboneUnderTest) -> str | None:
    """A pass leaves weights and buffers as they are, and is the same in training and in evaluation mode."""
    backbone = subject.build()
    before = copy.deepcopy(backbone.state_dict())
    training = backbone.train()(subject.volumes).local
    if changed := [name for name, value in backbone.state_dict().items() if not same(value, before[name])]:
        return f"a pass changes {some(changed)}: a frozen backbone would not be frozen"
    if not torch.equal(training, backbone.eval()(subject.volumes).local):
        return "evaluation mode gives other features, and the harness knows one mode only"
    return None


def checkpointing_is_exact(subject: BackboneUnderTest) -> str | None:
    """With `checkpointing` the gradients are the same to the bit."""
    gradients = []
    for checkpointing in (False, True):
        backbone = subject.build()
        backbone.checkpointing = checkpointing
        backbone(subject.volumes).local.square().mean().backward()
        gradients.append({name: weight.grad for name, weight in backbone.named_parameters() if _reached(weight)})
    kept, computed_again = gradients
    differ = [name for name in kept if not same(kept[name], computed_again.get(name))]
    return f"the gradients of {some(differ)} differ under checkpointing" if differ else None


def encoder_stands_alone(subject: BackboneUnderTest) -> str | None:
    """Without the decoder's modules the encoder gives the same, as methods that copy it alone need it."""
    backbone = subject.build()
    whole = backbone.encode(subject.volumes)
    for name in backbone.decoder_modules:
        delattr(backbone, name)
    return None if torch.equal(backbone.encode(subject.volumes), whole) else "the encoder needs the decoder"


def mixed_precision_works(subject: BackboneUnderTest) -> str | None:
    """Under bf16 autocast the features are finite and close."""
    backbone = subject.build()
    with torch.no_grad():
        exact = backbone(subject.volumes).local
        with torch.autocast("cpu", torch.bfloat16):
            rounded = backbone(subject.volumes).local.float()
    error, size = float((rounded - exact).square().mean().sqrt()), float(exact.square().mean().sqrt())
    return None if error <= 0.1 * size else f"the features are {size:.3g} large and off by {error:.3g} under bf16"


def equal_channels_change_nothing(subject: BackboneUnderTest) -> str | None:
    """On three equal channels, copied weights for one give the same features; or it reads one channel alone."""
    try:
        three = subject.build(seed=1, channels=3)
    except UserError:
        return None
    one, volumes = subject.build(), subject.volumes
    three.load_state_dict(entering(one.state_dict(), three.state_dict(), "copy"))
    with torch.no_grad():
        apart = float((three(volumes.expand(-1, 3, -1, -1, -1)).local - one(volumes).local).abs().max())
    return None if apart <= 1e-4 else f"the features are {apart:.2g} off those of one channel"


def gives_what_it_says(subject: BackboneUnderTest) -> str | None:
    """What `facts.gives` promises to methods that need it is there."""
    if "sparse encoder" in subject.facts.gives:
        try:
            require_sparse(subject.build(), "that needs a sparse encoder")
        except UserError as error:
            return f"facts.gives promises a sparse encoder: {error}"
    return None


BACKBONE_CHECKS: tuple[Check[BackboneUnderTest], ...] = checks_of(
    facts_are_complete,
    stages_fit,
    features_fit,
    gradients_reach_all,
    seeds_reproduce,
    weights_have_one_name,
    passes_change_nothing,
    checkpointing_is_exact,
    encoder_stands_alone,
    mixed_precision_works,
    equal_channels_change_nothing,
    gives_what_it_says,
)


def _reached(weight: Tensor) -> bool:
    return weight.grad is not None and bool(weight.grad.abs().sum() > 0)
