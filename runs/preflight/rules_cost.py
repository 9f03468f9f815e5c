"""Rules that prevent wasted cost: a short time limit, lost output, no smoke run, one error repeated in many jobs."""

from collections.abc import Iterator
from typing import Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.preflight.findings import PreflightFinding
from ml_intern.runs.preflight.hardware import machine_for, parameters_of
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.program import Program

SMALL_STEPS: Final = 100
"""A run of at most this many training steps is a trial."""
_BEST_SHARE: Final = 0.6
"""The highest fraction of its data-sheet speed that a GPU reaches in training."""
_TOKENS: Final = 64
"""The assumed minimum number of tokens in a dataset row."""


def time_limit(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a time limit that is too short, that ended this script before, or that was not set for a paid job."""
    program = inputs.program
    if program is None or not program.trains:
        return
    limit = f"the time limit of {_minutes(plan.limit_s)}"
    ended = [run.limit_s for run in inputs.earlier if run.shape == program.shape and run.state == "timeout"]
    if max(ended, default=0.0) >= plan.limit_s:
        yield PreflightFinding(
            "time_limit", f"an earlier run of this script reached {limit}", "raise the limit, or reduce the work"
        )
        return
    least = least_seconds(plan, inputs)
    if least is not None and least > plan.limit_s:
        what = f"{limit} is too short: on {plan.target or plan.hardware} the training takes at least {_minutes(least)}"
        yield PreflightFinding("time_limit", what, "raise the limit, train on less data, or choose faster hardware")
    elif backend_spec(plan.backend).has_prices and not inputs.limit_named and not is_trial(program):
        what = f"no time limit was set, and the default of {_minutes(plan.limit_s)} kills a longer training"
        yield PreflightFinding(
            "time_limit", what, "set a limit: the smoke run's time per step, times the number of steps, plus 50 %"
        )


def is_trial(program: Program) -> bool:
    """Whether the script trains for at most SMALL_STEPS steps."""
    steps = program.setting("max_steps")
    return isinstance(steps, int | float) and 0 < steps <= SMALL_STEPS


def least_seconds(plan: RunPlan, inputs: PreflightInputs) -> float | None:
    """Return the minimum training time in seconds, at six operations per parameter and token; None when unknown."""
    program, machine = inputs.program, machine_for(plan, inputs.target)
    if program is None or machine is None or machine.gpu is None:
        return None
    parameters = max((parameters_of(model, inputs.parameters) or 0.0 for model in program.models), default=0.0)
    tokens = _rows_trained(program, inputs) * _TOKENS
    speed = machine.gpu.tflops * 1e12 * machine.count * _BEST_SHARE
    # With adapters the frozen weights need no gradient: four operations instead of six
    operations = 4 if program.is_set("peft_config") else 6
    return operations * parameters * tokens / speed or None


def _rows_trained(program: Program, inputs: PreflightInputs) -> float:
    batch = _number(program, "per_device_train_batch_size", 8) * _number(program, "gradient_accumulation_steps", 1)
    steps = program.setting("max_steps")
    if isinstance(steps, int | float) and steps > 0:
        return steps * batch
    sliced = any(
        "[" in split for call in program.named("load_dataset") if isinstance(split := call.value("split"), str)
    )
    shortened = sliced or any(program.named("select", "take", "filter", "train_test_split"))
    rows = max((inputs.rows.get(name, 0) for name in program.datasets), default=0)
    return 0.0 if shortened else rows * _number(program, "num_train_epochs", 1)


def _number(program: Program, name: str, otherwise: float) -> float:
    value = program.setting(name)
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


def _minutes(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


_TEMPORARY: Final = ("/tmp/", "/dev/shm/", "/var/tmp/")  # noqa: S108  only compared with paths
_PLACES: Final = ("output_dir", "save_directory", "f", "path", "dataset_path", "path_or_buf")


def output(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a run whose output would be lost with its machine."""
    program = inputs.program
    if program is None or not program.saves:
        return
    if not backend_spec(plan.backend).is_disposable:
        yield from _local_output(program, inputs)
    elif not program.pushes:
        what = "the script saves its output on the machine's disk, which is deleted when the run ends"
        remedy = (
            "push the output to the Hub: push_to_hub=True and hub_model_id in the trainer's arguments, push_to_hub() "
            "at the end, or upload_folder"
        )
        if not is_trial(program):
            yield PreflightFinding("output", what, remedy)
    elif "HF_TOKEN" not in plan.secrets:
        yield PreflightFinding("output", "the script pushes to the Hub without HF_TOKEN", 'add "HF_TOKEN" to secrets')


def _local_output(program: Program, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    if not inputs.sandboxed:
        return
    places = [call.value(name) for call in program.calls for name in _PLACES]
    first = [call.value("save_directory", 0) for call in program.named("save_pretrained", "save_model", "save_to_disk")]
    lost = [one for one in (*places, *first) if isinstance(one, str) and f"{one}/".startswith(_TEMPORARY)]
    if lost:
        what = f"{lost[0]} is temporary in the sandbox and is deleted when the command ends"
        yield PreflightFinding("output", what, "write to a folder in the workspace")


def smoke(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a paid training job whose script has not succeeded before."""
    program = inputs.program
    if not backend_spec(plan.backend).has_prices or program is None or not program.trains or is_trial(program):
        return
    if any(run.state == "succeeded" and run.shape == program.shape for run in inputs.earlier):
        return
    known = any(run.state == "succeeded" for run in inputs.earlier)
    what = "the script changed since its last successful run" if known else "no run of this script has succeeded yet"
    remedy = "first run it locally with a few steps (backend local, max_steps from an argument) and wait for its end"
    yield PreflightFinding("smoke", what, remedy)


def one_first(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse several jobs of one script before one has succeeded."""
    program = inputs.program
    if not backend_spec(plan.backend).has_prices or program is None:
        return
    alike = [run for run in inputs.earlier if run.backend == plan.backend and run.shape == program.shape]
    if any(run.open for run in alike) and not any(run.state == "succeeded" for run in alike):
        what = "a job of the same script is still running and none has succeeded: one error would fail all of them"
        yield PreflightFinding("one_first", what, "wait until the first job succeeds, then launch the others")
