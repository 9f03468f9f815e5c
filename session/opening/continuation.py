"""The options a thread was started with, which a continuation uses unless the user gives others. Never a key."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.opening.holdout import saved_holdout
from ml_intern.session.opening.model import model_of
from ml_intern.session.opening.options import run_folders
from ml_intern.session.opening.request import SessionRequest

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow

_FLAGS = {
    "effort": "--effort",
    "max_iterations": "--max-iterations",
    "max_budget_usd": "--max-budget-usd",
    "settings_file": "--config",
    "tool_runtime": "--tool-runtime",
    "verify": "--verify",
    "patience": "--patience",
    "goal": "--goal",
    "holdout": "--holdout",
}
_MAY_HOLD_KEYS = ("mcpServers", "messaging")
"""Settings whose values may contain keys."""


def saved_options(request: SessionRequest, model: str, missing: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options of a request that belong to its thread, as JSON values. `model` is the model of the run.

    `missing` names options that the thread was started with and that were not saved.
    """
    kept, omitted = _without_keys(request.assignments)
    omitted = list(dict.fromkeys([*missing, *omitted]))
    found: dict[str, Any] = {name: getattr(request, name) for name in _FLAGS} | {
        "settings_file": str(Path(request.settings_file).expanduser().resolve()) if request.settings_file else None,
        "holdout": saved_holdout(request.holdout) if request.holdout else request.holdout,
        "sandbox": request.sandbox,
        "strict_budget": request.strict_budget or None,
        "add_dirs": [*run_folders(request)],
        "locks": [*request.locks],
        "assignments": kept,
        "omitted": omitted,
    }
    if request.base_url:
        url = "" if "@" in request.base_url or "?" in request.base_url else redact(request.base_url)
        is_whole = url == request.base_url
        found["endpoint"] = {"model": model, "base_url": url, "key": request.api_key_env} if is_whole else None
        found["omitted"] = [*omitted, *([] if is_whole else ["--base-url"])]
    return {name: value for name, value in found.items() if value not in (None, [])}


def _without_keys(assignments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split assignments into those that are saved, and the names of those that may contain a key."""
    kept, omitted = list[str](), list[str]()
    for text in assignments:
        name = _name(text)
        is_plain = text.partition("=")[2].strip() in ("true", "false", "null")
        is_secret = (name.split(".")[0] in _MAY_HOLD_KEYS and not is_plain) or redact(text) != text
        omitted += [f"--set {name}"] if is_secret else []
        kept += [] if is_secret else [text]
    return kept, omitted


def _name(assignment: str) -> str:
    return assignment.partition("=")[0].strip()


async def with_saved_options(
    store: "Store", row: "ThreadRow", request: SessionRequest
) -> tuple[SessionRequest, Sequence[str], tuple[str, ...]]:
    """Return the request with the options saved for the thread, those missing, and notes. A given option wins."""
    saved = await store.threads.options(row.id)
    given = {_name(text) for text in request.assignments}
    assignments = [text for text in saved.get("assignments", ()) if _name(text) not in given]
    named = next((text.partition("=")[2] for text in request.assignments if _name(text) == "model_name"), None)
    last_model = await model_of(store, row)
    changes: dict[str, Any] = {"assignments": (*assignments, *request.assignments), "model": request.model or named}
    changes |= {name: saved.get(name) for name in (*_FLAGS, "sandbox") if getattr(request, name) is None}
    changes["strict_budget"] = request.strict_budget or saved.get("strict_budget", False)
    if not request.add_dirs:
        changes["add_dirs"] = tuple(one for one in saved.get("add_dirs", ()) if Path(one).is_dir())
    changes["locks"] = tuple(dict.fromkeys([*saved.get("locks", ()), *request.locks]))
    changes |= _endpoint(saved, replace(request, model=request.model or named), last_model)
    merged = replace(request, **changes)
    omitted = [one for one in saved.get("omitted", ()) if one.removeprefix("--set ") not in given]
    if request.base_url or not (last_model or merged.model):
        omitted = [one for one in omitted if one != "--base-url"]
    return merged, omitted, _notes(_words(request, merged, assignments), omitted)


def _endpoint(saved: Mapping[str, Any], request: SessionRequest, last_model: str) -> dict[str, Any]:
    """Return the fields for the saved base URL if the thread still uses its model."""
    endpoint = saved.get("endpoint")
    if endpoint is None or request.base_url or (request.model or last_model or endpoint["model"]) != endpoint["model"]:
        return {}
    return {
        "base_url": endpoint["base_url"],
        "api_key_env": request.api_key_env or endpoint["key"],
        "model": endpoint["model"],
    }


def _words(request: SessionRequest, merged: SessionRequest, assignments: Sequence[str]) -> list[str]:
    """Return the options that the request got from the thread, as they are typed."""
    words = [f"--base-url {merged.base_url}"] if merged.base_url != request.base_url else []
    words += [f"{flag} {getattr(merged, name)}" for name, flag in _FLAGS.items() if _differs(request, merged, name)]
    if _differs(request, merged, "sandbox"):
        words.append("--sandbox" if merged.sandbox else "--no-sandbox")
    words += ["--strict-budget"] if _differs(request, merged, "strict_budget") else []
    words += [f"--add-dir {folder}" for folder in merged.add_dirs] if _differs(request, merged, "add_dirs") else []
    words += [f"--lock {pattern}" for pattern in merged.locks if pattern not in request.locks]
    return [*words, *(f"--set {text}" for text in assignments)]


def _differs(request: SessionRequest, merged: SessionRequest, name: str) -> bool:
    return bool(getattr(request, name) != getattr(merged, name))


def _notes(words: Sequence[str], omitted: Sequence[str]) -> tuple[str, ...]:
    notes = [f"continuing with this thread's options: {' '.join(words)}"] if words else []
    if omitted:
        notes.append(f"not saved with this thread, since they may contain keys: {', '.join(omitted)}; give them again")
    return tuple(notes)
