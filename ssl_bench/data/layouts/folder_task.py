"""Tasks that a folder describes: no code and no embedded cohort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ssl_bench.api.settings import SplitCounts
from ssl_bench.api.task import Split, Task
from ssl_bench.data.layouts.folders import existing_folder
from ssl_bench.data.layouts.identifiers import safe_name
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.data.synthetic.anatomy import Anatomy

NO_EXTENT = (0.0, 0.0, 0.0)
"""The field of view, in mm, of an embedded cohort that is not there."""


class FolderTask(Task):
    """A task on real cases alone."""

    anatomy_values = ()
    split_counts = SplitCounts(train=3, validation=1, test=1)

    def grow(self, anatomy: Anatomy, split: Split, count: int, detail: float, seed: int) -> NoReturn:
        """Raises UserError: nothing can be grown."""
        raise UserError(f"{self.facts.dataset}: has no embedded cohort; use the cases of its folder")


def data_set_name(folder: Path) -> str:
    """The folder's name, fit for a task's name. Raises UserError if there is no such folder."""
    return safe_name(existing_folder(folder).resolve().name)
