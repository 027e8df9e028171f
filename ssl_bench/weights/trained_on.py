"""Whether weights were made with the data set of a task, by what their source says of itself.

Names are compared, not scans: a source that says nothing is unknown, and one that says wrong things is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ssl_bench.spec.specification import PretrainingSpec

Answer = Literal["", "yes", "no", "unknown"]
"""Empty for weights that were made here."""

ALIASES: dict[str, tuple[str, ...]] = {
    "mm-whs": ("mmwhs", "multimodalitywholeheart", "whsplusplus"),
    "asoca": ("asoca", "automatedsegmentationofcoronaryarteries"),
    "candi": ("candi", "candishare", "schizbull"),
    "stoic": ("stoic", "stoic2021"),
    "imagecas": ("imagecas",),
    "btcv": ("btcv", "beyondthecranialvault", "multiatlaslabeling"),
    "luna16": ("luna16", "lidc", "lidcidri"),
    "amos": ("amos22", "amos2022"),
    "flare": ("flare21", "flare22", "flare23", "flare2022", "flare2023"),
    "kits": ("kits19", "kits21", "kits23"),
    "totalsegmentator": ("totalsegmentator",),
    "openmind": ("openmind",),
    "ixi": ("ixi", "ixidataset"),
    "sunnybrook": ("sunnybrook",),
    "acdc": ("acdc",),
    "brats": ("brats",),
    "medmnist": ("medmnist",),
    **{
        f"msd {organ}": (f"task{number:02}{organ}", f"dataset{number:03}{organ}", f"msd{organ}", f"decathlon{organ}")
        for number, organ in enumerate(
            ("braintumour", "heart", "liver", "hippocampus", "prostate", "lung", "pancreas", "hepaticvessel", "spleen"),
            start=1,
        )
    },
}
"""Data sets, and what begins or makes up the names under which they go, in lower case without anything but letters and
digits."""
DECATHLON = ("msd", "medicalsegmentationdecathlon", "decathlon")
"""All of the decathlon's data sets at once."""
TASKS = {"shc": "MM-WHS", "sac": "ASOCA", "sbm": "CANDI", "ccc": "STOIC"}
"""The data sets of the built-in tasks; a task out of a folder is called after it."""
EMBEDDED_NAME = "ssl-bench embedded cardiac CT"


def made_with(spec: PretrainingSpec, named: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The data sets of a pre-training: those of the weights it began with, and of its corpus those `named`.

    The embedded corpus has a name of its own. Where the first weights do not say theirs nothing is said but what is
    `named`: a later corpus does not make it known.
    """
    before = spec.init.origin.trained_on if spec.init else ()
    if not named and spec.corpus and not spec.corpus.is_real and (before or not spec.init):
        named = (EMBEDDED_NAME,)
    return tuple(dict.fromkeys([*before, *named]))


def known_as(name: str) -> set[str]:
    """Which of `ALIASES` a data set's name means; the name itself, without marks, where it is none of them."""
    plain = _plain(name)
    if plain in DECATHLON:
        return {known for known in ALIASES if known.startswith("msd ")}
    # A repository's address may precede a name, and a number may begin it: MIC-DKFZ/OpenMind, Dataset745_OpenMind.
    last = re.sub(r"^dataset\d+", "", _plain(name.rpartition("/")[2]))
    found = {
        known
        for known, aliases in ALIASES.items()
        if any(form.startswith(alias) for alias in (*aliases, _plain(known)) for form in (plain, last))
    }
    return found or ({plain} if plain else set())


def trained_on_task(declared: Iterable[str], task: str, is_real: bool) -> Answer:
    """Whether the `declared` data sets hold that of `task`; the embedded cohort is nobody else's."""
    named = list(declared)
    if not named:
        return "unknown"
    if not is_real:
        return "no"
    kind, dash, folder = task.partition("-")
    name = TASKS.get(task) or (folder if dash and kind in ("nnunet", "folder") else task)
    return "yes" if known_as(name) & set().union(*map(known_as, named)) else "no"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("++", "plusplus"))
