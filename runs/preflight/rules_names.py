"""Rules about names: dataset columns, exposed secrets, and models or datasets other than the user named."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.preflight.findings import PreflightFinding
from ml_intern.runs.preflight.hardware import parameters_of, sizes_in
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.program import Program
from ml_intern.runs.preflight.rules_cost import is_trial
from ml_intern.safety.secrets.redaction import redact

_SFT: Final = (("messages",), ("text",), ("prompt", "completion"), ("conversations",), ("input_ids",))
_PAIRS: Final = (("prompt", "chosen", "rejected"), ("chosen", "rejected"))
WANTED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "SFTTrainer": _SFT,
    "DPOTrainer": _PAIRS,
    "ORPOTrainer": _PAIRS,
    "CPOTrainer": _PAIRS,
    "RewardTrainer": (("chosen", "rejected"),),
    "KTOTrainer": (("prompt", "completion", "label"), ("chosen", "rejected")),
    "GRPOTrainer": (("prompt",),),
    "RLOOTrainer": (("prompt",),),
    "OnlineDPOTrainer": (("prompt",),),
}
"""The sets of columns that each trainer accepts."""
_REMADE: Final = ("map", "from_dict", "from_list", "from_generator", "from_pandas", "rename_columns", "add_column")


def columns(_: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a dataset whose columns do not match what the trainer expects."""
    program = inputs.program
    if program is None or any(program.named(*_REMADE)) or program.is_set("formatting_func"):
        return
    there = [set(inputs.columns[name]) for name in program.datasets if name in inputs.columns]
    renamed = {
        call.value("original_column_name", 0): call.value("new_column_name", 1)
        for call in program.named("rename_column")
    }
    if not there or len(program.datasets) > len(there):
        return
    had = {renamed.get(name, name) for one in there for name in one}
    for call in program.named(*WANTED):
        wanted = WANTED[call.name]
        field = program.setting("dataset_text_field")
        fits = any(set(one) <= had for one in wanted) or (isinstance(field, str) and field in had)
        if not fits:
            sets = " or ".join("+".join(one) for one in wanted)
            what = (
                f"{call.name} expects the columns {sets}, but {', '.join(program.datasets)} has "
                f"{', '.join(sorted(had))}"
            )
            yield PreflightFinding("columns", what, "map or rename the columns before creating the trainer")


_SECRET_NAME: Final = re.compile(r"(?i)(?:^|_)(?:token|key|secret|password|passwd|credentials?)$")
_NO_SECRET: Final = ("PAD_TOKEN", "EOS_TOKEN", "BOS_TOKEN", "UNK_TOKEN", "SORT_KEY", "PRIMARY_KEY")


def secrets(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a secret in plain sight: in the environment, the command or the script."""
    remedy = "remove it, name the variable in secrets, and read it from os.environ in the script"
    for name, value in plan.environment.items():
        named = _SECRET_NAME.search(name) and name.upper() not in _NO_SECRET and len(value) >= 8
        if named or redact(assigned := f"{name}={value}") != assigned:
            yield PreflightFinding("secrets", f"the environment variable {name} looks like a secret", remedy)
    if any(redact(word) != word for word in (*plan.command, *plan.script_args)):
        yield PreflightFinding("secrets", "the command contains a secret", remedy)
    if inputs.program is not None and any(redact(one) != one for one in inputs.program.strings):
        yield PreflightFinding("secrets", "the script contains a secret", remedy)
    unused = "HF_TOKEN" in plan.secrets and inputs.program is not None and not _asks_the_hub(inputs.program)
    if unused and backend_spec(plan.backend).is_disposable:
        what = "HF_TOKEN is passed to a script that does not use the Hub"
        yield PreflightFinding("secrets", what, "remove it if it is not needed", refuses=False)


def _asks_the_hub(program: Program) -> bool:
    hub = {"huggingface_hub", "transformers", "datasets", "trl", "diffusers", "sentence_transformers"}
    return program.pushes or bool(hub & program.imports)


_ID: Final = re.compile(r"(?<![\w./:@-])([A-Za-z0-9][\w.-]{1,95}/[A-Za-z0-9][\w.-]{0,95})(?![\w/])")
_FILE: Final = re.compile(r"\.(?:py|txt|jsonl?|csv|md|ya?ml|toml|parquet|ipynb|sh|pt|bin|safetensors|log|png)$")
_NOT_IDS: Final = ("and/or", "train/test", "input/output", "he/she", "km/h", "24/7", "and/or.", "prompt/completion")
_FAMILIES: Final = (
    "llama", "qwen", "gemma", "mistral", "mixtral", "phi", "gpt2", "bert", "t5", "smollm", "deepseek", "falcon",
    "whisper", "pythia", "olmo", "granite", "bloom", "vit", "clip", "modernbert", "deberta", "roberta", "electra",
    "mamba",
)  # fmt: skip
_DATASETS: Final = (
    "imdb", "gsm8k", "squad", "alpaca", "mnist", "cifar10", "cifar100", "ultrachat", "ultrafeedback", "wikitext",
    "glue", "sst2", "ag_news", "tinystories", "openhermes", "dolly", "capybara", "fineweb", "mmlu", "librispeech",
    "common_voice",
)  # fmt: skip


def substitution(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a model or dataset other than the one the user named. A local trial may use a small substitute."""
    program = inputs.program
    if program is None or not inputs.user_text or (is_trial(program) and not backend_spec(plan.backend).has_prices):
        return
    used = [one for one in (*program.models, *program.datasets) if one not in inputs.local_paths]
    everything = " ".join(
        [*program.strings, *plan.command, *plan.script_args, *plan.environment.values(), *used]
    ).lower()
    named = _ids(inputs.user_text)
    gone = [one for one in named if one.lower() not in everything]
    instead = [one for one in used if one.lower() not in {id.lower() for id in named}]
    if gone and instead:
        yield _other(", ".join(gone), ", ".join(instead))
        return
    if not any(one in named for one in program.models):
        yield from _of_other_kind(inputs.user_text, program.models, _FAMILIES)
        yield from _of_other_size(inputs, program.models)
    if not any(one in named for one in program.datasets):
        yield from _of_other_kind(inputs.user_text, program.datasets, _DATASETS)


def _ids(text: str) -> list[str]:
    found = [one.rstrip(".") for one in _ID.findall(text)]
    return [one for one in dict.fromkeys(found) if not _FILE.search(one) and one.lower() not in _NOT_IDS]


def _other(named: str, used: str) -> PreflightFinding:
    what = f"the user named {named}, but the script uses {used}"
    return PreflightFinding("substitution", what, f"use {named}, or ask the user before you substitute it")


def _of_other_kind(text: str, used: Collection[str], kinds: Collection[str]) -> Iterator[PreflightFinding]:
    """Yield a finding when the user named a family and the script uses another known family."""
    words = re.findall(r"[a-z0-9_]+", text.lower())
    named = [kind for kind in kinds if any(re.fullmatch(rf"{kind}[\d_]*", word) for word in words)]
    known = {one: [kind for kind in kinds if kind in _plain(one)] for one in used}
    if named and used and all(of and not set(of) & set(named) for of in known.values()):
        yield _other(" and ".join(named), ", ".join(used))


def _plain(id: str) -> str:
    return id.rpartition("/")[2].lower()


def _of_other_size(inputs: PreflightInputs, models: Collection[str]) -> Iterator[PreflightFinding]:
    named = [size for size in sizes_in(inputs.user_text) if size >= 1e8]
    has = {model: parameters_of(model, {}) for model in models}
    known = {model: size for model, size in has.items() if size}
    if named and known and not any(abs(size - one) <= one * 0.2 for size in known.values() for one in named):
        sizes = " and ".join(f"{one / 1e9:g}B" for one in named)
        yield _other(f"a model of {sizes}", ", ".join(known))
