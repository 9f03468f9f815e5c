"""Find the Hub jobs that belong to ml-intern, by label or by id. Every answer is compared with the request."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ml_intern.execution.call import ToolError
from ml_intern.text.formatting import listed, plural

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

RUNNING_STAGES: Final = ("SCHEDULING", "RUNNING")
CANCEL_SECONDS: Final = 10.0
"""How long a cancelled job may take to stop."""
_POLL_SECONDS: Final = 0.5
_MAX_NAMED: Final = 5


class AmbiguousJob(ToolError):
    """Several jobs have the label of one run or sandbox. None of them is used or changed."""


def stage_of(job: "JobInfo") -> str:
    """Return the name of the job's stage."""
    return str(getattr(job.status.stage, "value", job.status.stage))


def labelled_job(api: "HfApi", label: str, value: str, namespaces: Sequence[str]) -> "JobInfo | None":
    """Return the only job with this label; None when there is none.

    The labels are compared here as well, because a server may ignore the filter and return other jobs. It blocks.

    Raises:
        AmbiguousJob: several jobs have the label.
    """
    found = {
        job.id: job
        for namespace in namespaces
        for job in api.list_jobs(labels={label: value}, namespace=namespace)
        if (job.labels or {}).get(label) == value
    }
    if len(found) > 1:
        raise AmbiguousJob(
            f"{plural(len(found), 'job')} have the label {label}={value}: {listed(list(found), _MAX_NAMED)}; "
            "none was changed; remove the label from those that do not belong to it (`hf jobs labels ID --clear`)"
        )
    return next(iter(found.values()), None)


def job_with_id(api: "HfApi", job_id: str, namespace: str) -> "JobInfo":
    """Return a job by its id. It blocks. Raises ToolError when the Hub returns another job."""
    job = api.inspect_job(job_id=job_id, namespace=namespace)
    if job.id != job_id:
        raise ToolError(f"the Hub returned job {job.id} instead of {job_id}; nothing was changed; try again later")
    return job


def cancel_job(api: "HfApi", job: "JobInfo") -> "JobInfo":
    """Cancel a job, wait until it has stopped, and return it. It blocks. Raises ToolError when it still runs."""
    namespace = job.owner.name
    if stage_of(job) in RUNNING_STAGES:
        api.cancel_job(job_id=job.id, namespace=namespace)
        deadline = time.monotonic() + CANCEL_SECONDS
        while stage_of(job := job_with_id(api, job.id, namespace)) in RUNNING_STAGES:
            if time.monotonic() > deadline:
                raise ToolError(f"job {job.id} was cancelled but is still {stage_of(job).lower()}; try again")
            time.sleep(_POLL_SECONDS)
    return job
