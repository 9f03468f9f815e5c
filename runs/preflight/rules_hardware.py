"""Rules about the hardware of a run: supported precision and memory."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.findings import PreflightFinding
from ml_intern.runs.preflight.hardware import machine_for, parameters_of
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.program import Program


def precision(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a number format or kernel the hardware does not support."""
    program, machine = inputs.program, machine_for(plan, inputs.target)
    if program is None or machine is None:
        return
    gpu = machine.gpu
    if gpu is None:
        wanted = next((what for what, is_so in _GPU_ONLY.items() if is_so(program)), "")
        if wanted:
            what = f"the script needs a GPU ({wanted}), but {machine.name} has none"
            yield PreflightFinding("precision", what, f"choose hardware with a GPU, or remove {wanted}")
    elif not gpu.bf16 and _is_bf16(program):
        yield PreflightFinding(
            "precision", f"{machine.name} does not support bfloat16", "use fp16, or an L4, A10G, A100 or newer"
        )
    elif not gpu.bf16 and program.setting("attn_implementation") == "flash_attention_2":
        yield PreflightFinding(
            "precision", f"flash attention 2 does not run on {machine.name}", 'use attn_implementation="sdpa"'
        )
    elif not gpu.fp8 and program.is_set("fp8"):
        yield PreflightFinding("precision", f"{machine.name} does not support fp8", "use bf16, or an H100 or newer")


def _is_bf16(program: Program) -> bool:
    kinds = [program.setting(name) for name in ("torch_dtype", "dtype", "bnb_4bit_compute_dtype", "mixed_precision")]
    moved = [arg for call in program.named("to") for arg in call.args]
    return program.setting("bf16") is True or any(kind in ("bfloat16", "bf16") for kind in (*kinds, *moved))


def _on_gpu(program: Program) -> bool:
    moved = [arg for call in program.named("to", "device") for arg in call.args]
    placed = [program.setting(name) for name in ("device", "device_map")]
    asked = any("is_available" in call.path for call in program.calls)
    return not asked and (
        any(isinstance(one, str) and one.startswith("cuda") for one in (*moved, *placed))
        or any("." in call.path and not call.args for call in program.named("cuda"))
    )


_GPU_ONLY: Final[Mapping[str, Callable[[Program], bool]]] = {
    "fp16": lambda program: program.setting("fp16") is True,
    "4- or 8-bit weights": lambda program: any(
        program.setting(name) is True for name in ("load_in_4bit", "load_in_8bit")
    ),
    "flash attention": lambda program: program.setting("attn_implementation") == "flash_attention_2",
    "a model on cuda": _on_gpu,
    "vllm": lambda program: "vllm" in program.imports or program.is_set("use_vllm"),
}


def memory(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a model whose weights and optimizer state alone exceed the GPU memory."""
    program, machine = inputs.program, machine_for(plan, inputs.target)
    if program is None or machine is None or machine.gpu is None:
        return
    sizes = {model: parameters_of(model, inputs.parameters) for model in program.models}
    model, parameters = max(
        ((one, size or 0.0) for one, size in sizes.items()), key=lambda pair: pair[1], default=("", 0.0)
    )
    needed = parameters * _bytes_each(program) / 1e9
    if needed > machine.memory_gb:
        what = (
            f"{model} ({parameters / 1e9:.3g} billion parameters) needs at least {needed:.0f} GB for "
            f"{_how(program)}, but {machine.name} has {machine.memory_gb} GB"
        )
        yield PreflightFinding("memory", what, _smaller(program))


def _bytes_each(program: Program) -> float:
    """Return the minimum bytes of memory per parameter, without activations."""
    weights = (
        0.5 if _is_4bit(program) else 1.0 if program.setting("load_in_8bit") is True else 2.0 if _half(program) else 4.0
    )
    if not program.trains or _has_adapters(program):
        return weights
    optimizer = program.setting("optim")
    light = isinstance(optimizer, str) and any(
        one in optimizer for one in ("8bit", "adafactor", "galore", "apollo", "sgd", "lion")
    )
    return weights * 2 + (2.0 if light else weights * 2)


def _half(program: Program) -> bool:
    """Whether the weights are loaded in half precision. With bf16=True alone they stay in full precision."""
    kinds = [program.setting(name) for name in ("torch_dtype", "dtype")]
    return any(kind in ("bfloat16", "float16", "half", "auto") for kind in kinds)


def _is_4bit(program: Program) -> bool:
    return program.setting("load_in_4bit") is True


def _has_adapters(program: Program) -> bool:
    return program.is_set("peft_config") or any(program.named("get_peft_model", "LoraConfig"))


def _how(program: Program) -> str:
    if not program.trains:
        return "its weights"
    return "its weights" if _has_adapters(program) else "weights, gradients and optimizer"


def _smaller(program: Program) -> str:
    if program.trains and not _has_adapters(program):
        return "train adapters (peft_config=LoraConfig(...)), or choose larger hardware"
    return "load it in 4-bit (BitsAndBytesConfig(load_in_4bit=True)), or choose larger hardware"
