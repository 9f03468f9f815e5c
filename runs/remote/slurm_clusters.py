"""Runs as jobs of Slurm, those of a sweep as the tasks of one job array."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from ml_intern.execution.tool import ToolContext
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.remote_runs import OwnMachines, delivered_root, placed, target_of, with_secrets
from ml_intern.runs.remote.order import array_order, start_order
from ml_intern.runs.remote.tree import read_tree


class SlurmClusters(OwnMachines):
    """Executes runs on the Slurm clusters of the settings. A handle is that of OwnMachines."""

    async def launch_all(
        self, plans: Mapping[str, RunPlan], sweep: Sequence[str], context: ToolContext
    ) -> dict[str, str]:
        """Deliver the working folder once and start the runs as one job array.

        Raises:
            ToolError: no run was started.
            TemporaryError: the cluster did not answer to the start; the runs may have started.
        """
        first = next(iter(plans.values()))
        target = target_of(first.target, context.options.compute)
        tree = await asyncio.to_thread(read_tree, delivered_root(first, context))
        known = placed(first.target, target, first, sweep[0])
        await self.deliver(known, first, tree)
        orders = []
        for id, plan in plans.items():
            fields = {**start_order(plan, sweep[0], target, tree).fields, "id": id}
            orders.append(await with_secrets(fields, plan.secrets))
        places = {id: {**known, "id": id} for id in plans}
        for place in places.values():
            await asyncio.to_thread(self.record_place, place)
        at_once = min(filter(None, (target.max_runs, first.slots)), default=0)
        await self.far_side(known).call("start_array", array_order(orders, sweep, at_once))
        self.forget_status(known)
        return {id: json.dumps(place) for id, place in places.items()}
