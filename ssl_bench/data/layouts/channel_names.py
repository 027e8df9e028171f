"""What the name of a channel says about its values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ssl_bench.api.preprocessing import Intensity

_CT = re.compile(
    r"(cb|nc|ne|ce|cc|ld|hr|md|ms|de|c|p|s|q|u|µ|μ|micro|3d|4d)?ct(|a|pa|p|ac|c|e|u|scans?|images?)|ctangio.*"
)
"""One word for a kind of computed tomography: CT, CTA, CCTA, CTPA, NCCT, CECT, CBCT, LDCT, HRCT, ... but not OCT or
SPECT, nor CT1, which is a T1 with contrast."""
_CT_PHRASE = re.compile(r"\b(comput(ed|eri[sz]ed|er) (\w+ )?tomogra|cat scan|hounsfield)|^hu$")
_OTHER = frozenset(("mr", "mri", "pet", "spect", "t1", "t2", "flair", "emission", "magnetic", "ultrasound"))
"""With a CT they are of two minds."""
_RECIPES: dict[str, Intensity] = {"nonorm": "none", "percentile": "percentile"}
"""Names that say the recipe itself; the first is nnU-Net's."""


def intensity_of(channel: str) -> Intensity:
    """The recipe for a channel of this name: Hounsfield units by a word for CT, as MR what says nothing else."""
    words = re.findall(r"[^\W_]+", channel.casefold())
    if (recipe := _RECIPES.get("".join(words))) or _OTHER.intersection(words):
        return recipe or "mr"
    phrase = " ".join(words)
    return "ct" if any(_CT.fullmatch(word) for word in words) or _CT_PHRASE.search(phrase) else "mr"


def intensities_of(channels: Sequence[str]) -> Intensity | tuple[Intensity, ...]:
    """The recipes of one channel or of several, as `Preprocessing` has them."""
    return intensity_of(channels[0]) if len(channels) == 1 else tuple(map(intensity_of, channels))


def column_channels(header: Sequence[str], column: str) -> dict[str, str]:
    """The channels that columns ``COLUMN_NAME`` of a table name, by the column; none where there is a `column` itself.

    One such column alone is no channel: a date of the image, say.
    """
    found = {name: name.removeprefix(f"{column}_") for name in header if name.startswith(f"{column}_")}
    found = {name: channel for name, channel in found.items() if channel}
    return {} if column in header or len(found) < 2 else found
