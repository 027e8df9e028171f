"""Plans alone: another scheduler runs each cell by ``ssl-bench cell KEY``."""

from __future__ import annotations

from ssl_bench.api.executor import Devices, Executor, ExecutorFacts
from ssl_bench.errors import UserError
from ssl_bench.executors.cells.work import Work
from ssl_bench.planning.graph import plan_all


class Plan(Executor):
    """Writes the plans and names the keys of what is not done, pre-trainings first."""

    facts = ExecutorFacts(title="write plans alone; ssl-bench cell KEY runs each")

    def planned_on(self) -> Devices:
        """The devices as given. Raises UserError for several, since a plan says nothing of devices."""
        if self.asked.strategy == "ddp":
            raise UserError("--strategy ddp: a plan says nothing of devices; give it to ssl-bench cell KEY")
        return super().planned_on()

    def run(self, work: Work) -> str:
        """The keys, one a line."""
        graph, done = plan_all(work.cells, work.store, "missing")
        return "\n".join(cell.key for cell in graph if cell.key not in done)
