"""The evidence card under an answer, from the data of the event `evidence`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ml_intern.terminal.render.summary import one_line
from ml_intern.text.formatting import duration, plural

_WIDTH: Final = 300
_MAX_LINES: Final = 8
_WORDS: Final = {
    "reproduced": "reproduced",
    "held": "supported",
    "unsupported": "not supported",
    "contradicted": "contradicted",
}


def card_lines(data: Mapping[str, Any]) -> list[str]:
    """Return the short card: the number of claims in each state, then the facts, the worst first."""
    facts = _facts(data)
    shown = [one_line(fact, _WIDTH) for fact in facts[:_MAX_LINES]]
    left = len(facts) - len(shown)
    head = _head(data)
    return [*([head] if head else []), *shown, *([f"{plural(left, 'more fact')}"] if left else [])]


def whole_card(card: Mapping[str, Any]) -> list[str]:
    """Return the whole evidence of a thread as lines."""
    answers = [line for answer in card["answers"] for line in _answer(answer)]
    locks = [f"  {lock['path']}  {lock['kind']}, {lock['changed'] or 'unchanged'}" for lock in card["locks"]]
    runs = [line for run in card["runs"] for line in _run(run)]
    parts = (("answers", answers), ("locked and watched files", locks), ("what ran", runs))
    lines = [line for head, part in parts for line in (f"[{head}]", *(part or ["  none"]), "")]
    return [*lines, "[incomplete]", *([f"  {line}" for line in card["incomplete"]] or ["  nothing"])]


def check_lines(check: Mapping[str, Any]) -> list[str]:
    """Return the result of checking a statement: one line per file and number, then the verdict it contains."""
    items = [f"{one['state']:11}  {one['role']:8}  {one['name']}{_because(one['why'])}" for one in check["items"]]
    return [*items, f"verdict of the statement: {check['verdict'].get('status', 'unknown')}"]


def _because(why: str) -> str:
    return f" - {why}" if why else ""


def _answer(answer: Mapping[str, Any]) -> list[str]:
    data = answer["evidence"]
    undone = ", undone" if answer["undone"] else ""
    lines = [f"  {data['status']} (level {data['level']}{undone})"]
    lines += [f"    {_claim(one)}" for one in data["claims"]]
    lines += [f"    {one['level']}: {_finding(one)}" for one in data["findings"]]
    lines += [f"    changed lock: {line}" for line in data["locks"]]
    lines += [f"    {line}" for line in _holdout(data.get("holdout"))]
    return [*lines, *(f"    written: {name}" for name in data.get("statements", ()))]


def _run(run: Mapping[str, Any]) -> list[str]:
    state = f"{run['state']} ({run['reason']})" if run["reason"] else run["state"]
    lines = [f"  {run['name']}  {state}, {duration(run['seconds'])}: {one_line(run['command'], _WIDTH)}"]
    programs = [path.rpartition("/")[2] for path in run.get("programs") or ()]
    lines += [f"    started: {one_line(', '.join(dict.fromkeys(programs)), _WIDTH)}"] if programs else []
    hints = [hint for hint in run.get("hints", ()) if not hint.startswith("start ")]
    lines += [f"    reported: {one_line(hint, _WIDTH)}" for hint in hints]
    lines += [f"    read: {one_line(', '.join(run['read']), _WIDTH)}"] if run["read"] else []
    lines += [f"    wrote: {one_line(', '.join(run['written']), _WIDTH)}"] if run["written"] else []
    return [*lines, *([f"    incomplete: {run['incomplete']}"] if run["incomplete"] else [])]


def is_warning(data: Mapping[str, Any]) -> bool:
    """Return whether the card says more than that the claims are supported."""
    return str(data["status"]) != "held" or (data.get("goal") or {}).get("state", "met") != "met"


def contradicted_line(data: Mapping[str, Any]) -> str:
    """Return the line for stderr about an answer that the evidence contradicts."""
    facts = [fact for fact in _facts(data) if fact.startswith(("contradicted", "changed"))]
    return one_line("; ".join(facts) or "the evidence contradicts the answer", 3 * _WIDTH)


def _head(data: Mapping[str, Any]) -> str:
    states = Counter(claim["state"] for claim in data["claims"])
    counted = [f"{states[state]} {words}" for state, words in _WORDS.items() if states[state]]
    words = f"{plural(len(data['claims']), 'claim')} checked: {', '.join(counted)}" if counted else ""
    if data["incomplete"] and (words or data["findings"]):
        first, *more = data["incomplete"]
        words = f"{words or 'checked'}; incomplete: {first}{f' (and {len(more)} more)' if more else ''}"
    return f"evidence: {words}" if words else ""


def _facts(data: Mapping[str, Any]) -> list[str]:
    locks = [f"changed lock: {line}" for line in data["locks"]]
    claims: Sequence[Mapping[str, Any]] = data["claims"]
    goal = data.get("goal")
    aims = [f"goal {goal['state']}: {goal['goal']} - {goal['why']}"] if goal else []
    aims += _holdout(data.get("holdout"))
    red = [_claim(one) for one in claims if one["state"] == "contradicted"]
    red += [f"contradicted: {_finding(one)}" for one in data["findings"] if one["level"] == "contradiction"]
    yellow = [_claim(one) for one in claims if one["state"] == "unsupported"]
    yellow += [f"note: {_finding(one)}" for one in data["findings"] if one["level"] == "warning"]
    return [*locks, *aims, *red, *yellow]


def _holdout(score: Mapping[str, Any] | None) -> list[str]:
    """Return the line about the hold-out, or none without one."""
    if not score:
        return []
    metrics = ", ".join(f"{name} {value}" for name, value in score["metrics"].items())
    because = f" ({score['why']})" if score["why"] else ""
    return [f"hold-out {score['file']}: {metrics or score['state']}{because}"]


def _claim(claim: Mapping[str, Any]) -> str:
    return f"{_WORDS[claim['state']]}: {claim['text']} - {claim['evidence']}"


def _finding(finding: Mapping[str, Any]) -> str:
    place = f"{finding['path']}:{finding['line']}" if finding["line"] else finding["path"]
    return f"{place}: {finding['message']}" if place else str(finding["message"])
