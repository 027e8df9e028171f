"""Where a cell's volumes come from: said on the command line, kept in its plan, never hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ssl_bench.api.settings import Settings

ImageStore = Literal["plain", "compressed"]
"""How prepared images lie on disk; they are read to the same bits."""


class Locations(Settings):
    """Paths, and what the user allows. Empty: the embedded cohort."""

    anatomy: tuple[Path, Path] | None = None
    """The user's own image and labels, from which the task's cohort grows."""
    data_roots: dict[str, Path] = Field(default={})
    """The folders of real data sets, by task."""
    own_tasks: dict[str, Literal["nnunet", "folder"]] = Field(default={})
    """Tasks that a folder defines, by name, and how it does."""
    split: Path | None = None
    """A file that ``ssl-bench data split`` writes; None for the default split."""
    cross_validation: int = 0
    """So many folds are dealt where no file says them; 0 for one split."""
    subjects: str = ""
    """Who was scanned: a pattern, or the path of a table; see `ssl_bench.data.subjects.with_subjects`."""
    corpus: Path | None = None
    """The folder of the unlabelled scans, or a CSV that lists them."""
    corpus_region: str = ""
    """What the corpus shows, in the words of the tasks: heart, lungs or brain."""
    take_labels: bool = False
    """Take files of the corpus that hold label maps for scans too."""
    skip_problems: bool = False
    """Leave out the cases that cannot be used, instead of stopping."""
    store: ImageStore | None = None
    """How prepared images lie on disk; None for as they are found there, new ones plain."""
    allow_overlap: bool = False
    """Go on where a scan of the corpus is also in the validation or test set."""
