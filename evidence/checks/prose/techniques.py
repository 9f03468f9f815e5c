"""Techniques and seeds that an answer says were used, and that nothing in the code which ran mentions."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Execution, Observations, content_of

_TECHNIQUES: Final = {
    r"(?:bf16|bfloat16|fp16|float16|half[ -]precision|mixed[ -]precision)": (
        r"bf16|bfloat16|fp16|float16|\bhalf\b|autocast|amp\b|GradScaler|precision"
    ),
    r"q?lora(?: adapters?)?": r"lora|peft",
    r"(?:4|8)-bit(?: quanti[sz]ation)?": r"4-?bit|8-?bit|int8|int4|nf4|bnb|bitsandbytes|quant|gptq|awq",
    r"smote": r"smote|imblearn",
    r"label[ -]smoothing": r"label_?smooth|smoothing|epsilon",
    r"gradient checkpointing": r"checkpointing",
    r"gradient accumulation": r"accum",
    r"gradient clipping": r"clip",
    r"class[ -]weights?": r"class_?weight|sample_?weight|pos_?weight|weight",
    r"torch\.compile|compiled with torch": r"compile",
    r"flash[ -]attention": r"flash|sdpa|scaled_dot_product",
    r"(?:FSDP|fully sharded data parallel\w*)": r"fsdp|FullyShard|fully_shard|torchrun|accelerate|deepspeed",
    r"deepspeed(?: zero)?": r"deepspeed|zero",
    r"bayesian (?:optimi[sz]ation|search)|optuna": r"optuna|bayes|skopt|hyperopt|ax\b|tpe|gp_minimize|GaussianProcess",
    r"(?:a )?grid search": r"grid|product|for |search|sweep|map\(",
    r"(?:stratified )?\d*-?(?:fold )?cross[ -]validation": r"cross_val|fold|CV\(|\bcv\b|for |validate",
    r"data augmentation": (
        r"augment|flip|crop|rotat|mixup|cutmix|noise|jitter|normal|transform|synonym|paraphras|shift"
    ),
    r"(?:a )?cosine (?:schedule\w*|decay|annealing|learning[ -]rate schedule)": r"cosine|\bcos\b",
    r"stochastic weight averaging|\bSWA\b": r"swa|AveragedModel|averag",
    r"(?:knowledge )?distillation": r"distil|teacher|kl_?div|KLDiv|soft_?label|temperature",
    r"early stopping": r"early|patience|best|stop|break|n_iter_no_change|HistGradient|validation_fraction",
}
"""Words that name a technique, and what code that uses it contains."""
_USED: Final = re.compile(
    r"(?i)\b(?:using|used|with|via|by|applied|through|trained|tuned|fine-?tuned|validated|selected|chosen|evaluated|in)"
    r"\s+(?:\w+[ -]){0,4}?$"
)
_DENIED: Final = re.compile(
    r"(?i)\b(?:not|no|without|instead of|never|could|would|should|try|next|future|if|may|might|or|rather than)\b"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n")
_SETTINGS: Final = (".json", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".sh")
_SEED: Final = re.compile(
    r"(?i)\b(?:random )?seed\s*(?:=|:|of|is|was)?\s*(\d+)\b(?=[^.;]*\b(?:reproduc|determinis|fixed|set)\w*)|"
    r"\b(?:reproduc\w+|determinis\w+|fixed|set)\b[^.;\d]*\bseed\s*(?:=|:|of|to|is|was)?\s*(\d+)\b"
)


def technique_findings(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield what an answer says was used, if the code of all programs is known and none of it mentions that."""
    if not used or any(run.remote or not seen.sources(run) for run in used):
        return
    named, seeds = list(_named(answer)), list(_SEED.finditer(answer))
    code = "\n".join(_texts(seen)) if named or seeds else ""
    for technique, traces in named:
        if not re.search(rf"(?i){traces}", code):
            message = f"{technique!r} is reported, and nothing in the code that ran mentions it"
            yield Finding("technique not in the code", message)
    for found in seeds:
        number = found[1] or found[2]
        if not re.search(rf"(?<![\d.]){number}(?![\d.])", code) and not re.search(r"(?i)seed|random_state", code):
            yield Finding(
                "seed-not-set", f"the answer names seed {number}, and nothing in the code that ran sets a seed"
            )


def _named(answer: str) -> Iterator[tuple[str, str]]:
    """Yield each technique that an answer says was used, with the pattern of its traces in code."""
    for sentence in _SENTENCE.split(answer):
        for words, traces in _TECHNIQUES.items():
            found = re.search(rf"(?i)(?<![\w-])(?:{words})(?![\w-])", sentence)
            if found and _is_used(sentence, found):
                yield found[0], traces


def _is_used(sentence: str, found: re.Match[str]) -> bool:
    before = sentence[: found.start()]
    return bool(_USED.search(before)) and not _DENIED.search(before)


def _texts(seen: Observations) -> Iterator[str]:
    """Yield the code, the commands and the settings of all programs, without what the code switches off."""
    for run in seen.programs:
        yield run.command
        for _, code in seen.sources(run):
            yield _switched_on(code)
        for path in sorted(run.opened):
            if path.endswith(_SETTINGS) and path.startswith(str(seen.workspace)):
                yield content_of(seen.workspace / path, 200_000)


def _switched_on(code: str) -> str:
    """Return the names, keywords and constants of the code, without comments and without calls that are disabled."""
    nodes = nodes_of(code)
    off = {id(one) for node in nodes if _is_off(node) for one in ast.walk(node)}
    kept = [node for node in nodes if id(node) not in off]
    return "\n".join(filter(None, map(_word, kept))) if nodes else code


def _is_off(node: ast.AST) -> bool:
    """Whether a call has `enabled=False`, or a keyword is False or None."""
    if isinstance(node, ast.keyword):
        return isinstance(node.value, ast.Constant) and (node.value.value is False or node.value.value is None)
    given = node.keywords if isinstance(node, ast.Call) else []
    return any(
        one.arg == "enabled" and isinstance(one.value, ast.Constant) and one.value.value is False for one in given
    )


def _word(node: ast.AST) -> str:
    """Return the word that a node of the syntax tree adds to what the code mentions."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.FunctionDef(name=name):
            return f"{name}(" if name.endswith("CV") else name
        case ast.ImportFrom(module=str(name)) | ast.keyword(arg=str(name)):
            return name
        case ast.Constant(value=value):
            return str(value)
        case ast.For() | ast.While() | ast.comprehension():
            return "for "
    return ""
