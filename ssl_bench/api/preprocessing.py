"""How a scan becomes the array that the network sees: the paper's preprocessing, declared."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ssl_bench.api.settings import Settings

Intensity = Literal["ct", "mr", "percentile", "none"]
"""`ct`: clip(value + offset, 0, 2048) / 2048. `mr`: negatives to 0, then the minimum to 0 and the maximum to 1.
`percentile`: the 0.5th percentile to 0 and the 99.5th to 1, clipped, for values of any kind and with outliers.
`none`: values as they are, for files that hold [0, 1] already."""


_LATER = ("voxel_mm", "label_header", "channels", "missing_channels", "kind")
"""Fields that cells had not when the first were planned."""


class Preprocessing(Settings):
    """Preprocessing of one data set (GVSL supplement E, tables 1 and 2). Every field is an option of the user."""

    spacing_mm: PositiveFloat | None = 1.0
    """Isotropic spacing after resampling, linear for images and nearest for labels; None keeps the scanner's."""
    intensity: Intensity | tuple[Intensity, ...]
    """One for all channels, or one for each in their order."""
    intensity_offset: float = 1024.0
    """Added to CT values: 1024 where the files hold HU, 0 where 1024 was added before. Ignored but for `ct`."""
    region: Literal["whole", "label", "lungs", "centre"]
    """What is kept: everything; the label's bounding box and a margin; the lungs' box and a margin, everything outside
    the lungs 0; or a centred box of `size`."""
    margin_mm: float = Field(default=10.0, ge=0)
    """Around the label or the lungs."""
    size: tuple[PositiveInt, PositiveInt, PositiveInt] = (128, 160, 160)
    """(D, H, W) in voxels of the centred box; smaller scans are zero-padded around."""
    lungs: Literal["auto", "lungmask", "threshold"] = "auto"
    """What finds the lungs: the network of the extra `lungs`, or a threshold with connected components."""
    voxel_mm: tuple[PositiveFloat, PositiveFloat] = (0.1, 10.0)
    """The smallest and largest voxel that a scan may have along an axis; others are taken for a broken header."""
    label_header: Literal["own", "image"] = "own"
    """Where a label lies whose header puts it elsewhere than its image: as its `own` header says, which is refused; or
    voxel by voxel where its `image` lies, in the order of the files."""
    channels: tuple[str, ...] = ()
    """The names of several channels, in their order; empty for one."""
    missing_channels: Literal["refuse", "zero"] = "refuse"
    """What becomes of a case that lacks the file of a channel: it is refused, or the channel is 0 everywhere."""

    kind: Literal["auto", "classification", "multi-class", "regression"] = "auto"
    """What the labels of a `folder:` task are: one of two classes, one of several, a number; `auto` sees it by them."""

    @model_validator(mode="after")
    def _channels_have_recipes(self) -> Self:
        if len(self.channels) == 1 or len(set(self.channels)) < len(self.channels):
            raise ValueError("channels names two or more, each once; leave it out for one")
        if not isinstance(self.intensity, str) and len(self.intensity) != len(self.channels):
            named = f"{len(self.channels)} channels" if self.channels else "one channel"
            raise ValueError(f"intensity has {len(self.intensity)} recipes for {named}; give one for each")
        return self

    @property
    def channel_count(self) -> int:
        """Channels of every volume."""
        return len(self.channels) or 1

    @property
    def intensities(self) -> tuple[Intensity, ...]:
        """The recipe of every channel."""
        return (self.intensity,) * self.channel_count if isinstance(self.intensity, str) else self.intensity

    def of_channel(self, index: int) -> Preprocessing:
        """That of one channel alone."""
        return self.model_copy(update={"channels": (), "intensity": self.intensities[index]})

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialised: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came after the first cells were planned say nothing at their defaults, so that keys stay."""
        fields: dict[str, Any] = serialised(self)
        later = {name: type(self).model_fields[name].default for name in _LATER}
        return {
            name: value for name, value in fields.items() if name not in later or getattr(self, name) != later[name]
        }
