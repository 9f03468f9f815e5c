"""Check what an answer says in words: tests that pass, counts of epochs and seeds, ends of runs, devices, versions."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.hints import fewer_steps, on_cpu_alone, stopped_early, used_gpu
from ml_intern.evidence.checks.loops import loop_counts
from ml_intern.evidence.checks.statistics import row_counts
from ml_intern.evidence.checks.versions import installed_versions
from ml_intern.evidence.numbers.agreement import Measurements, counts_rows
from ml_intern.evidence.numbers.names import metrics_in, plain
from ml_intern.evidence.numbers.stated import Stated, stated_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.verdict import Claim, State
from ml_intern.text.formatting import plural

_NOT: Final = r"\b(?:not|n't|never|no|without|cannot|could not|if|once|when|should|would|will|to be|yet|fail\w*)\b"
_TESTS: Final = re.compile(
    r"(?i)\b(?:all|every|the|both|\d+)?\s*(?:\d+\s+)?(?:unit |integration |"
    r"existing )?tests?\s+(?:suite\s+)?(?:now\s+|still\s+|all\s+)?"
    r"(?:pass(?:es|ed)?|succeed\w*|(?:are|is) (?:green|passing|successful))\b|"
    r"\btest suite (?:passes|is green)|\bpasses? (?:all|the|every) (?:the )?tests?\b"
)
_TEST_PROGRAM: Final = re.compile(
    r"(?i)\bpytest\b|\bunittest\b|\btox\b|\bnox\b|\bdoctest\b|(?:^|[/\s])(?:run_?)?tests?[\w-]*\.(?:py|sh)\b|_tests?\.py\b|\btest\b"
)
_FAILED: Final = re.compile(r"(?m)\b[1-9]\d* failed\b|^FAILED\b|^ERROR\b|AssertionError|\b[1-9]\d* errors?\b")
_EVERY_TEST: Final = re.compile(r"(?i)\b(?:all|every|suite)\b")
_RAN: Final = re.compile(r"(?m)\b(\d+) (?:passed|failed|skipped|errors?|xfailed|xpassed)\b|^Ran (\d+) tests?\b")
"""The counts that pytest and unittest print at their end."""
_DONE: Final = re.compile(
    r"(?i)\b(?:is|are|was|has|been|training|run|evaluation|experiment|"
    r"job)\s+(?:now\s+)?(?:complete[d]?|finished|succeeded|done|ran to (?:its|the) end)\b"
)
_ADMITTED: Final = re.compile(
    r"(?i)time ?(?:limit|d out|out)|\bkilled\b|\bstopped\b|\bfail|\bcut\b|crash|interrupt|"
    r"incomplete|partial|abort|cancel|\bnot\b|only \d|error|running|background"
)
_CONVERGED: Final = re.compile(r"(?i)\bconverge[ds]?\b|\bconvergence\b")
_NO_CONVERGENCE: Final = re.compile(
    r"(?i)ConvergenceWarning|did(?: not|n't) converge|failed to converge|not converged|"
    r"hasn't converged|(?:max_iter|iterations) (?:was |were )?reached"
)
_NAN: Final = re.compile(
    r"(?i)\b([\w ]{0,30}(?:loss|error|grad(?:ient)?(?:_norm)?|rmse|mse|perplexity|reward|"
    r"score)[\w ]{0,15})\s*[=:]\s*(nan|-?inf(?:inity)?)\b"
)
_GPU: Final = re.compile(
    r"(?i)\b(?:on|using|with|via)\s+(?:an?|the|one|\d+(?:x)?)?\s*(?:\w+\s+)?(?:gpus?|cuda|"
    r"[AHLVT]\d{1,3}0?s?\b(?=\s|,|\.|;)(?<=0))|gpu[- ](?:trained|accelerated)"
)
_CPU_PRINTED: Final = re.compile(
    r"(?i)device\s*[=:]\s*['\"(]*cpu|cuda(?: is)? ?available\s*[=:]?\s*False|\bno gpu\b|running on cpu"
)
_DEVICES: Final = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/accel0", "/dev/dxg")
_VERSION: Final = re.compile(
    r"\b([A-Za-z][A-Za-z0-9_.-]{1,40})(?:\s+version)?\s*(?:==|=|\s|`)\s*v?(\d+\.\d+(?:\.\d+)*)\b"
)
_PROGRESS: Final = frozenset(
    {"epoch", "shard", "fold", "seed", "step", "iteration", "trial", "run", "batch", "setting", "tree"}
)
_MAX_COUNTS: Final = 50
_FOLDS: Final = re.compile(r"(?i)\b(\d{1,3})-fold(?=\W+(?:\w+\W+)?(?:cross|cv|valid))")
_SPELLED: Final = re.compile(
    r"(?i)\b(two|three|four|five|six|seven|eight|nine|ten|twenty)\s+(?:(?:random|different|independent|full|training)\s+)*"
    r"(epoch|seed|fold|setting|trial)s\b"
)
_SPELLED_VALUES: Final = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twenty": 20,
}  # fmt: skip
_PLANNED: Final = frozenset({"epoch", "seed", "fold", "setting", "trial", "tree"})
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n")
_MEASURED_ERROR: Final = re.compile(
    r"(?i)\b(?:test|validation|training|prediction|generali[sz]ation|classification|mean|squared|absolute|relative|low\w*|"
    r"small\w*|reduc\w+|halv\w+)\s+(?:the\s+|an?\s+|its\s+)?errors?\b|"
    r"\berrors?\s+(?:rates?\b|(?:is|was|are|were)\s+(?:now\s+)?(?:\d|low\w*|small\w*)|fell\b|drop\w*|decreas\w+|improv\w+)"
)
"""An error that is measured on data, and not one that a program ended with."""


def word_claims(answer: str, seen: Observations, used: Sequence[Execution], measured: Measurements) -> Iterator[Claim]:
    """Yield the claims in words. `used` are the executions behind the numbers of the answer, by their start."""
    sentences = [one.strip() for one in _SENTENCE.split(answer) if one.strip()]
    for sentence in sentences:
        yield from _tests(sentence, seen)
        yield from _converged(sentence, used)
        yield from _gpu(sentence, used)
        yield from _versions(sentence, used)
    yield from _counts(answer, seen, used, measured)
    yield from _ended(answer, used)


def _claim(text: str, state: State, evidence: str, name: str, source: str = "") -> Claim:
    return Claim(text[:200], state, evidence, name, source=source)


def _tests(sentence: str, seen: Observations) -> Iterator[Claim]:
    match = _TESTS.search(sentence)
    if not match or re.search(_NOT, sentence[: match.end()]):
        return
    runs = [one for one in seen.programs if _is_test(one)]
    if not runs:
        yield _claim(match[0].strip(), "contradicted", "no test was run in this thread", "tests")
        return
    last = runs[-1]
    if last.state != "done" or _FAILED.search(last.text):
        shown = _FAILED.search(last.text)
        why = shown[0] if shown else last.reason or last.state
        yield _claim(
            match[0].strip(), "contradicted", f"the last test run, {last.name}, ended with: {why}", "tests", last.name
        )
        return
    later = [
        one.path for one in seen.typed if one.when > last.began and one.path.endswith((".py", ".sh", ".toml", ".cfg"))
    ]
    most = max(runs, key=_tests_ran)
    if later:
        fact = f"the last test run, {last.name}, is older than the last edit of {seen.short(later[-1])}"
        yield _claim(match[0].strip(), "unsupported", fact, "tests", last.name)
    elif _EVERY_TEST.search(match[0]) and 0 < _tests_ran(last) < _tests_ran(most):
        fewer, more = plural(_tests_ran(last), "test"), _tests_ran(most)
        fact = f"the last test run, {last.name}, ran {fewer}, {most.name} ran {more}"
        yield _claim(match[0].strip(), "unsupported", fact, "tests", last.name)
    else:
        yield _claim(match[0].strip(), "held", f"{last.name} ended without a failure", "tests", last.name)


def _tests_ran(run: Execution) -> int:
    """Return how many tests the last summary in the output of a run counts; 0 if it has none."""
    lines = [line for line in run.text.splitlines() if _RAN.search(line)]
    return sum(int(one[1] or one[2]) for one in _RAN.finditer(lines[-1])) if lines else 0


def _is_test(run: Execution) -> bool:
    return any(_TEST_PROGRAM.search(" ".join((one.name, *one.arguments))) for one in run.programs)


def _converged(sentence: str, used: Sequence[Execution]) -> Iterator[Claim]:
    match = _CONVERGED.search(sentence)
    if not match or re.search(_NOT, sentence):
        return
    for run in used:
        found = _NO_CONVERGENCE.search(run.text) or _NAN.search(run.text)
        if found:
            yield _claim(sentence, "contradicted", f"{run.name} printed: {found[0].strip()}", "convergence", run.name)
            return
        if stopped := stopped_early(run):
            fact = f"a fit of {run.name} ended at its last iteration: {stopped}"
            yield _claim(sentence, "contradicted", fact, "convergence", run.name)
            return


def _gpu(sentence: str, used: Sequence[Execution]) -> Iterator[Claim]:
    match = _GPU.search(sentence)
    if not match or re.search(_NOT, sentence):
        return
    if any(used_gpu(run) for run in used):
        return
    remote = [run for run in used if run.remote]
    for run in remote or used:
        if found := _CPU_PRINTED.search(run.text):
            yield _claim(match[0], "contradicted", f"{run.name} printed: {found[0].strip()}", "device", run.name)
            return
    if remote:
        return
    if name := on_cpu_alone(used):
        yield _claim(match[0], "contradicted", f"torch used no GPU in {name}", "device", name)
    elif used and not any(Path(device).exists() for device in _DEVICES):
        yield _claim(match[0], "contradicted", "this machine has no GPU device", "device", used[-1].name)


def _versions(sentence: str, used: Sequence[Execution]) -> Iterator[Claim]:
    for match in _VERSION.finditer(sentence):
        if re.search(
            r"(?i)\b(?:not|instead of|pinned|required|wanted|rather than)\b[^,;]*$", sentence[: match.start()]
        ):
            continue
        ran = {run.name: installed_versions(run).get(_canonical(match[1]), "") for run in used}
        known = {name: actual for name, actual in ran.items() if actual}
        if known and not any(f"{actual}.".startswith(f"{match[2]}.") for actual in known.values()):
            name, actual = next(iter(known.items()))
            yield _claim(match[0], "contradicted", f"{name} ran with {match[1]} {actual}", "version", name)


def _canonical(name: str) -> str:
    name = re.sub(r"[-_.]+", "-", name.lower())
    return {"sklearn": "scikit-learn", "pytorch": "torch", "hf-transformers": "transformers"}.get(name, name)


def _counts(answer: str, seen: Observations, used: Sequence[Execution], measured: Measurements) -> Iterator[Claim]:
    """Yield the claims that count epochs, seeds, folds, shards and the like."""
    for one in stated_in(answer):
        if one.noun in _PROGRESS and one.value == int(one.value) and not one.quoted:
            text = f"{one.text} {one.noun}{'s' if one.value != 1 else ''}"
            yield from _count(text, one.noun, int(one.value), measured, seen, used)
        elif one.noun == "row" and not one.quoted:
            yield from _rows(one, measured, used)
    for match in _FOLDS.finditer(answer):
        yield from _count(match[0], "fold", int(match[1]), measured, seen, used)
    for match in _SPELLED.finditer(answer):
        value = _SPELLED_VALUES[match[1].lower()]
        yield from _count(match[0], match[2].lower(), value, measured, seen, used)


def _rows(one: Stated, measured: Measurements, used: Sequence[Execution]) -> Iterator[Claim]:
    """Yield the claim on a number of rows, if programs printed numbers of rows and opened tables, and none agrees."""
    printed = {other.value for other in measured.labelled(counts_rows)}
    opened = row_counts(used)
    sums = {a + b for a, b in combinations(sorted(printed | opened)[-_MAX_COUNTS:], 2)}
    text = plural(int(one.value), "row")
    if one.value in printed | opened | sums:
        yield _claim(text, "held", "a program printed it, or a table that it opened has them", "row")
    elif printed and max(printed | opened | sums) < one.value:
        shown = ", ".join(f"{value:g}" for value in sorted(printed)[-5:])
        yield _claim(text, "unsupported", f"the numbers of rows that programs printed are {shown}", "row")


def _count(
    text: str, noun: str, value: int, measured: Measurements, seen: Observations, used: Sequence[Execution]
) -> Iterator[Claim]:  # fmt: skip
    printed = [one for one in measured.labelled(lambda about: about.counted == noun) if one.value == int(one.value)]
    last = [one for one in printed if one.source in {run.name for run in used}] or printed
    values = {one.value for one in last}
    if value in values or (values and len(values) == value and 0 in values):
        yield _claim(text, "held", f"printed by {last[-1].source}", noun, last[-1].source)
    elif values and max(values) < value:
        fact = f"the last {noun} that {last[-1].source} printed is {max(values):g}"
        yield _claim(text, "contradicted", fact, noun, last[-1].source)
    elif noun == "epoch" and (name := fewer_steps(used, value)):
        yield _claim(text, "contradicted", f"the optimizers of {name} made fewer steps", noun, name)
    elif noun in _PLANNED:
        yield from _planned(text, noun, value, seen, used)


def _planned(text: str, noun: str, value: int, seen: Observations, used: Sequence[Execution]) -> Iterator[Claim]:
    """Compare a count with the loops and settings in the code that ran."""
    found = [
        (run.name, path, count) for run in used for path, code in seen.sources(run) for count in loop_counts(code, noun)
    ]
    found += [(run.name, "the command", count) for run in used for count in _in_command(run.command, noun)]
    if any(count == value for _, _, count in found):
        yield _claim(text, "held", f"the code of {found[0][0]} says so", noun, found[0][0])
    elif found:
        name, path, count = found[-1]
        yield _claim(text, "contradicted", f"{path} in {name} says {plural(count, noun)}", noun, name)


def _in_command(command: str, noun: str) -> list[int]:
    return [int(number) for number in re.findall(rf"--(?:n[-_]|num[-_](?:train[-_])?)?{noun}s?[= ](\d+)\b", command)]


def _ended(answer: str, used: Sequence[Execution]) -> Iterator[Claim]:
    """Yield a claim for a run that did not end well, or whose loss is not a number, if the answer is silent on it."""
    for run in used[-1:]:
        if run.state not in ("done", "running") and not _ADMITTED.search(answer):
            state: State = "contradicted" if _DONE.search(answer) else "unsupported"
            yield _claim(
                _said(answer),
                state,
                f"{run.name} ended as {run.state}: {run.reason or 'no reason given'}",
                "end",
                run.name,
            )
        elif run.state == "running" and _DONE.search(answer) and not _ADMITTED.search(answer):
            yield _claim(_said(answer), "contradicted", f"{run.name} is still running", "end", run.name)
        if (found := _NAN.search(run.text)) and not re.search(r"(?i)\bnan\b|\binf|diverge|not a number", answer):
            yield _claim(_said(answer), "unsupported", f"{run.name} printed: {found[0].strip()}", "end", run.name)


def _said(answer: str) -> str:
    match = _DONE.search(answer)
    sentences = [one for one in _SENTENCE.split(answer) if one.strip()]
    return next((one for one in sentences if match and match[0].strip() in one), sentences[0] if sentences else "")[
        :120
    ]


def names_metric(answer: str) -> bool:
    """Return whether an answer names a metric. The error of a program, such as a syntax error, is none."""
    text = plain(answer)
    named = [one.metric for one in metrics_in(text)]
    return any(one != "error" for one in named) or (bool(named) and bool(_MEASURED_ERROR.search(text)))
