"""Rules about what is available where the script runs: its imports and the paths it reads."""

import re
import sys
from collections.abc import Iterator
from typing import Any, Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.preflight.findings import PreflightFinding
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.packages import PACKAGE_OF, image_packages, provides, with_dependencies
from ml_intern.runs.preflight.program import FunctionCall, Program, package_name, words_of

_INSTALLED = re.compile(r"\bpip install ([^;&|]*)|(?<!\S)--with[ =](\S+)")
_OPTIONS_WITH_A_VALUE: Final = ("-r", "--requirement", "--index-url", "-i", "--extra-index-url")


def script(_: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a script that is not valid Python."""
    if inputs.unreadable:
        what = f"{inputs.script_path or 'the script'} is not valid Python: {inputs.unreadable}"
        yield PreflightFinding("script", what, "fix the syntax")


def imports(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse an import that neither the image nor the script's dependencies provide."""
    program = inputs.program
    if program is None:
        return
    local = sorted(inputs.local_modules & program.imports) if backend_spec(plan.backend).is_disposable else []
    if local:
        what = f"the script imports {', '.join(local)} from local files, which are not sent with it"
        yield PreflightFinding("imports", what, "move the code into the script, or publish it as a package")
    available = _available_packages(plan, program)
    if available is None:
        return
    wanted = program.imports - sys.stdlib_module_names - inputs.local_modules
    missing = sorted(one for one in wanted if not provides(available, one))
    if missing:
        names = ", ".join(f'"{PACKAGE_OF.get(one, one)}"' for one in missing)
        what = f"no installed package or dependency provides {', '.join(missing)}"
        yield PreflightFinding("imports", what, f"add {names} to the dependencies of the script's PEP 723 block")


def _available_packages(plan: RunPlan, program: Program) -> frozenset[str] | None:
    """Return the packages available to the script; None when unknown."""
    words = " ".join(plan.command)
    if "requirements" in words:
        return None
    added = [name for group in _INSTALLED.findall(words) for name in _requirements(" ".join(group))]
    if program.dependencies is not None:
        return with_dependencies([*program.dependencies, *added])
    image = image_packages(plan.image)
    return (
        None if image is None or not backend_spec(plan.backend).is_disposable else with_dependencies([*image, *added])
    )


def _requirements(text: str) -> Iterator[str]:
    words = text.replace(",", " ").replace('"', " ").replace("'", " ").split()
    for before, word in zip(["", *words], words, strict=False):
        if not word.startswith("-") and before not in _OPTIONS_WITH_A_VALUE:
            yield package_name(word)


_READERS: Final = (
    "load_dataset", "load_from_disk", "from_pretrained", "read_csv", "read_json", "read_parquet", "open",
    "load", "load_file", "imread", "ImageFolder", "read_text", "read_bytes", "iterdir", "from_json", "from_csv", "glob",
    "listdir",
)  # fmt: skip
_FILES: Final = ("data_files", "data_dir", "train_file", "validation_file", "tokenizer_file", "resume_from_checkpoint")
_WRITERS: Final = (
    "save_pretrained",
    "save_model",
    "save_to_disk",
    "to_csv",
    "to_json",
    "to_parquet",
    "makedirs",
    "mkdir",
    "write_text",
    "write_bytes",
    "touch",
)
_OUTPUTS: Final = ("output_dir", "logging_dir", "save_directory", "cache_dir", "project_dir")
_LOCAL_PATH: Final = re.compile(r"^(?:~|/home/|/Users/|/mnt/|[A-Za-z]:\\)")


def local_path(plan: RunPlan, inputs: PreflightInputs) -> Iterator[PreflightFinding]:
    """Refuse a local path in a run on another machine."""
    if not backend_spec(plan.backend).is_disposable:
        return
    program = inputs.program
    read = set(paths_read(program)) if program else set()
    written = set(_written(program)) if program else set()
    given = {*words_of(plan)[1:], *plan.script_args}
    named = {one for one in read | given if not _is_in(one, written)}
    there = {one for one in named if one in inputs.local_paths or _LOCAL_PATH.match(one)}
    if there:
        what = f"the run cannot read from this machine: {', '.join(sorted(there))}"
        yield PreflightFinding("local_path", what, "upload the data to a private Hub repository and load it by its id")


def _is_in(path: str, written: set[str]) -> bool:
    """Whether the script writes the path or a folder above it."""
    return any(path == one or path.startswith(f"{one.rstrip('/')}/") for one in written)


def paths_read(program: Program) -> Iterator[str]:
    """Yield the strings that the script passes to functions that read files, datasets or models."""
    for call in program.calls:
        found = [call.keywords[name] for name in _FILES if name in call.keywords]
        if call.name in _READERS and not _writes(call):
            found += [*call.args, call.receiver]
        for one in found:
            yield from _leaves(one)


def _written(program: Program) -> Iterator[str]:
    for call in program.calls:
        found = [call.keywords[name] for name in _OUTPUTS if name in call.keywords]
        if call.name in _WRITERS or _writes(call):
            found += [*call.args, call.receiver]
        for one in found:
            yield from _leaves(one)


def _writes(call: FunctionCall) -> bool:
    """Whether a call opens a file for writing or saves something."""
    mode = call.value("mode", 0 if isinstance(call.receiver, str) else 1)
    opened = call.name == "open" and isinstance(mode, str) and len(mode) <= 3 and bool(set(mode) & set("wax"))
    return opened or (call.name == "save" and "." in call.path)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
