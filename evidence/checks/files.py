"""Check the files that an answer says it delivers: they exist, this thread wrote them, and they can be read."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ml_intern.evidence.artifacts import broken, same_content
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.verdict import Claim, State

_FULL: Final = 4096
"""Free bytes of a disk that counts as full: less than one block."""
_PATH: Final = re.compile(
    r"(?<![\w@:/.])((?:\.{0,2}/)?(?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,11}|(?:[\w.-]+/)+)(?![\w/])"
)
_NO_FILE: Final = re.compile(r"(?i)^(?:e\.g|i\.e|etc|vs|[\d.]+x|\d.*|.*\.(?:com|org|io|ai|net|co))$")
_DELIVERED: Final = re.compile(
    r"(?i)\b(?:sav(?:ed?|es|ing)|wr(?:ote|itten|ites?)|stor(?:ed|es)|export\w*|creat(?:ed|es)|generat(?:ed|es)|produced|plotted|dump(?:ed|s)|"
    r"merged? (?:\w+ )?(?:into|in)|(?:is|are|live) (?:now )?(?:in|at|there|here)\b|contains?|"
    r"delivered|put|placed|ready|available|made|added|find\b|"
    r"model is|weights are|card is|with)"
)
_NEW: Final = re.compile(
    r"(?i)\b(?:sav(?:ed|es)|wr(?:ote|itten)|export\w*|generated|produced|plotted|dumped|merged|trained|fine-?tuned|stored)\b"
)
_NOT: Final = re.compile(
    r"(?i)\b(?:not|never|no|without|cannot|could not|missing|delete[d]?|removed?|would|should|will|if)\b"
)
_ORIGIN: Final = re.compile(r"(?i)\b(?:from|of|than|against|based on|loads?|loaded)(?: the)?\Z")
_TRAINED_FILE: Final = re.compile(r"(?i)\b(?:trained|fine-?tuned|merged)(?: the)?\Z")
_UPLOADED: Final = re.compile(
    r"(?i)\b(?:uploaded|pushed|published|released)\b[^.;]*?\b(?:to|at|as|on)\b\s+`?([\w.-]+/[\w.-]+|the hub)`?"
)
_UPLOAD_CALL: Final = re.compile(r"upload|push|commit|publish|create", re.IGNORECASE)
_TRAINED: Final = re.compile(r"(?i)\b(?:trained|fine-?tuned|merged|new)\b")
UPLOADS: Final = re.compile(r"git push|hf upload|huggingface-cli upload|push_to_hub|upload_f")
"""Words of commands and scripts that upload to the Hub."""
WEIGHTS: Final = frozenset(
    {
        ".pkl",
        ".pickle",
        ".joblib",
        ".pt",
        ".pth",
        ".bin",
        ".safetensors",
        ".onnx",
        ".npz",
        ".npy",
        ".h5",
        ".keras",
        ".gguf",
        ".ckpt",
        ".model",
    }
)
_DATA: Final = frozenset({".csv", ".tsv", ".jsonl", ".parquet", ".py", ".txt"})
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n")


def file_claims(answer: str, seen: Observations) -> Iterator[Claim]:
    """Yield a claim for each file that a sentence of the answer delivers."""
    known: set[str] = set()
    for sentence in _SENTENCE.split(answer):
        names = [match[1] for match in _PATH.finditer(sentence) if not _NO_FILE.match(match[1])]
        match = _DELIVERED.search(sentence)
        if not match or _NOT.search(sentence):
            continue
        folders = [name for name in names if name.endswith("/")]
        for name in names:
            if name not in known and (claim := _file(name, folders, sentence, seen)):
                known.add(name)
                yield claim


def _file(name: str, folders: Sequence[str], sentence: str, seen: Observations) -> Claim | None:
    path = next((found for found in (seen.find(f"{folder}{name}") for folder in ("", *folders)) if found), None)
    text = f"{name}: {sentence.strip()[:100]}"
    if path is None:
        return Claim(text, "contradicted", f"there is no file {name}", "file")
    if path.is_dir():
        return None
    if problem := broken(path):
        return Claim(text, "contradicted", f"{seen.short(path)} cannot be read: {problem}", "file")
    writer = seen.written.get(str(path))
    if writer is None:
        return _unwritten(name, path, text, sentence, seen)
    by = f"written by {writer}" if writer else "written by the agent"
    return Claim(text, "held", f"{by}, {path.stat().st_size} bytes", "file", source=writer)


def _unwritten(name: str, path: Path, text: str, sentence: str, seen: Observations) -> Claim | None:
    """Return the claim about a file that nothing in this thread wrote, if the sentence says that it is new."""
    complete = seen.executions and not any(run.missed for run in seen.executions if run.ran)
    if not complete or not _NEW.search(sentence) or path.suffix in _DATA or _is_input(name, path, sentence, seen):
        return None
    state: State = "contradicted" if path.suffix in WEIGHTS else "unsupported"
    return Claim(text, state, f"{name} was not written in this thread", "file")


def _is_input(name: str, path: Path, sentence: str, seen: Observations) -> bool:
    """Whether a sentence names a file as what was there before: "from base.pt", "fine-tuned base.pt"."""
    before = sentence[: sentence.find(name)].rstrip("`'\"* ")
    if _ORIGIN.search(before):
        return True
    made = (one for run in seen.programs if str(path) in run.opened for one in run.written)
    return bool(_TRAINED_FILE.search(before)) and any(Path(one).suffix in WEIGHTS for one in made)


def upload_claims(answer: str, seen: Observations) -> Iterator[Claim]:
    """Yield a claim for each upload that the answer reports."""
    for match in _UPLOADED.finditer(answer):
        if _NOT.search(match[0]):
            continue
        calls = [
            one
            for one in seen.calls
            if one["tool"] not in ("bash", "write", "edit", "notebook") and _is_upload(str(one["args"]))
        ]
        shells = [run for run in seen.programs if UPLOADS.search(_all_code(run, seen))]
        if any(one["ok"] for one in calls) or any(run.state == "done" for run in shells):
            yield Claim(match[0], "held", "an upload of this thread ended without an error", "upload")
        elif calls or shells:
            yield Claim(match[0], "contradicted", "the upload failed", "upload")
        else:
            yield Claim(match[0], "contradicted", "nothing was uploaded in this thread", "upload")


def _is_upload(args: str) -> bool:
    return bool(_UPLOAD_CALL.search(args))


def _all_code(run: "object", seen: Observations) -> str:
    from ml_intern.evidence.observations import Execution

    if not isinstance(run, Execution):
        return ""
    return "\n".join([run.command, *(text for _, text in seen.sources(run))])


def artifact_findings(answer: str, seen: Observations) -> Iterator[Finding]:
    """Yield facts about delivered weights: those equal to an input, and those uploaded that nothing here wrote."""
    written = [Path(path) for path, name in seen.written.items() if name]
    inputs = _inputs(seen)
    for path in written:
        if seen.short(path) in answer or path.name in answer or path.name in seen.user_text:
            for other in inputs:
                if other != path and same_content(path, other):
                    message = f"{seen.short(path)} has the same content as {seen.short(other)}, which was there before"
                    yield Finding("unchanged artifact", message, level="contradiction")
            if path.suffix in WEIGHTS and _is_full(path):
                message = f"the disk with {seen.short(path)} is full, so the file may be cut off"
                yield Finding("full disk", message)
    if _TRAINED.search(answer):
        yield from _uploaded(seen)


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path).free < _FULL
    except OSError:  # it was removed
        return False


def _inputs(seen: Observations) -> list[Path]:
    """Return the files that executions opened and that nothing in this thread wrote."""
    own = seen.written
    found = {path for run in seen.programs for path in run.opened if path not in own}
    return [Path(path) for path in sorted(found) if Path(path).suffix in WEIGHTS | {".json"} and Path(path).is_file()][
        :50
    ]


def _uploaded(seen: Observations) -> Iterator[Finding]:
    own = seen.written
    for call in seen.calls:
        try:
            args = json.loads(call["args"])
        except ValueError:
            continue
        local = str(args.get("local") or "")
        if not (local and call["ok"] and args.get("operation") == "upload"):
            continue
        place = (seen.workspace / local).resolve()
        files = [place] if place.is_file() else sorted(one for one in place.rglob("*") if one.is_file())[:1000]
        weights = [one for one in files if one.suffix in WEIGHTS]
        old = [one for one in weights if str(one) not in own]
        if weights and len(old) == len(weights) and seen.programs and not any(run.missed for run in seen.programs):
            message = f"{seen.short(old[0])} was uploaded, and nothing in this thread wrote it"
            yield Finding("old artifact", message, level="contradiction")
