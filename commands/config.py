"""`config show`, `check` and `path`: the settings in effect and their sources, errors in the files, all paths."""

import json as json_module
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ml_intern.commands.options import MODEL_OPTIONS, SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import Json, columns, print_json, print_lines
from ml_intern.configs.check import Found
from ml_intern.configs.errors import ConfigurationError, ModelUnknown
from ml_intern.configs.layers import SHIPPED
from ml_intern.configs.paths import cache_home, data_home
from ml_intern.configs.trust import MCP_FILE, PROJECT_FILE, trust_file
from ml_intern.configs.user_files import keys_file, settings_path, user_settings_file
from ml_intern.models.secrets import register_secrets
from ml_intern.session.opening.options import load_settings, working_folder
from ml_intern.session.opening.shown_settings import shown_settings


@takes_options(*SETTINGS_OPTIONS, *MODEL_OPTIONS, "max_iterations", "tool_runtime")
def show_settings(options: Options, json: Json = False) -> int:
    """Show every setting in effect and the source of its value. Secrets are never shown."""
    loaded = load_settings(options.request(), working_folder(options.request()))
    register_secrets()
    shown = {path: {"value": value, "source": source} for path, value, source in shown_settings(loaded)}
    if json:
        return print_json({"settings": shown, "notes": list(loaded.notes)})
    rows = [
        (path, json_module.dumps(leaf["value"], ensure_ascii=False), leaf["source"]) for path, leaf in shown.items()
    ]
    return print_lines([*columns([("SETTING", "VALUE", "FROM"), *rows]), *(f"note: {note}" for note in loaded.notes)])


@takes_options(*SETTINGS_OPTIONS)
def check_settings(options: Options, json: Json = False) -> int:
    """Report every error in the settings files with its line and column, and in ML_INTERN_ variables.

    Exits with 78 if there is an error.
    """
    from ml_intern.configs.check import environment_problems, problems_of
    from ml_intern.configs.layers import names_for

    folder = working_folder(options.request())
    register_secrets()
    known = names_for(folder, trust=options.trust)
    projects = (path for name in (MCP_FILE, PROJECT_FILE) if (path := folder / name).is_file())
    given = [Path(options.config).expanduser()] if options.config else []
    files = [path for path in (user_settings_file(), *projects, *given) if path is not None]
    problems = [problem for path in files for problem in problems_of(path, known, further_problems)]
    problems += environment_problems(os.environ)
    wrong = [problem for problem in problems if not problem.warning]
    if not wrong:
        load_settings(options.request(), folder)  # checks the files and options in combination
    if json:
        print_json([asdict(problem) for problem in problems])
    else:
        where = ", ".join(map(str, files)) or "the defaults"
        print_lines([str(problem) for problem in problems] or [f"no errors in {where}"])
    return ConfigurationError.exit_code if wrong else 0


def show_paths(json: Json = False) -> int:
    """Show the files and folders ml-intern reads and writes."""
    paths = known_paths()
    if json:
        return print_json({name: {"path": str(path), "exists": path.exists()} for name, path in paths.items()})
    rows = [(name, str(path), "" if path.exists() else "(missing)") for name, path in paths.items()]
    return print_lines(columns([("WHAT", "PATH", ""), *rows]))


def known_paths() -> dict[str, Path]:
    """Return every file and folder, by its purpose."""
    home = data_home()
    return {
        "user settings": settings_path(),
        "shipped settings": SHIPPED,
        "saved keys": keys_file(),
        "trusted folders": trust_file(),
        "data": home,
        "threads": home / "threads.db",
        "artifacts": home / "artifacts",
        "snapshots": home / "snapshots",
        "prompt history": home / "history",
        "error log": home / "logs" / "errors.log",
        "cache": cache_home(),
    }


MODELS = ("model_name", "compact_model", "research_model", "fallback_model")


def further_problems(values: Mapping[str, Any]) -> Iterator[Found]:
    """Yield errors in the permission rules of a file, and a warning for each model without a known provider."""
    yield from _rules(values.get("permissions"))
    yield from _models(values)


def _rules(permissions: object) -> Iterator[Found]:
    from ml_intern.safety.rule_settings import parse_rules
    from ml_intern.safety.rules import EFFECTS

    known = permissions if isinstance(permissions, dict) else {}
    for effect in EFFECTS:
        written = known.get(effect)
        for index, rule in enumerate(written if isinstance(written, list) else []):
            try:
                parse_rules({effect: [rule]}, "settings")
            except ConfigurationError as error:
                problem = error.message.removeprefix(f"settings: permissions.{effect}[0] ")
                yield ("permissions", effect, index), problem, False


def _models(values: Mapping[str, Any]) -> Iterator[Found]:
    from ml_intern.models.routing import find_route

    for key in MODELS:
        model = values.get(key)
        try:
            find_route(model if isinstance(model, str) and model else "scripted:none", {})
        except ModelUnknown as error:
            yield (key,), f"{error.message}; it works only with --base-url", True
        except ConfigurationError:  # its key or address comes from the environment
            continue
