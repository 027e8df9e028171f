"""A backbone by whatever names it, a file or an address of a hub: found, read, described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ssl_bench.api.settings import nested, validated
from ssl_bench.errors import UserError
from ssl_bench.spec.contract import InputContract
from ssl_bench.spec.specification import ExternalBackbone
from ssl_bench.weights.hub import fetch, is_address
from ssl_bench.weights.loading import describe_external
from ssl_bench.weights.released import read_weights


class Located(NamedTuple):
    """A file of weights, and the specification of the backbone that it holds."""

    path: Path
    backbone: ExternalBackbone


def locate(
    named: str,
    say: Callable[[str], None],
    which: str | None = None,
    trained_on: str = "",
    expects: Sequence[str] = (),
) -> Located:
    """The backbone in the file or at the address `named`; `say` is told all that is to be known before it is used.

    `which` names one of several networks in it, `trained_on` data sets besides those that its source names, and
    `expects` are changes to its input contract, as ``axes=RAS``. Raises UserError for whatever is wrong with them.
    """
    fetched = fetch(named, say) if is_address(named) else None
    path = fetched.path if fetched else Path(named)
    try:
        weights = read_weights(path, which)
    except UserError as error:
        # Where the cache keeps it says little.
        raise UserError(str(error).replace(str(path), str(fetched.hub)) if fetched else str(error)) from error
    own = weights.release.contract.model_dump(exclude_defaults=True)
    contract = validated(InputContract, nested(expects, "--expects", own), "--expects")
    told = [*(fetched.trained_on if fetched else ()), *filter(None, map(str.strip, trained_on.split(",")))]
    backbone = describe_external(path, weights, fetched.hub if fetched else None, told, contract)
    say(f"{backbone.hub or path}: {weights}")
    say(f"{backbone.hub or path}: trained on {', '.join(backbone.origin.trained_on) or 'unknown'}")
    if contract != InputContract():
        say(f"{backbone.hub or path}: expects {contract}")
    return Located(path, backbone)
