"""The program of one run of an Optuna sweep: it asks the study for values, runs the command, and reports its metric.

The runs of a sweep share a study in a file on their machine. This file is sent as it is and imports nothing of
ml-intern. Arguments: a JSON object, then the command with {NAME} for each parameter.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SEARCH_PATH = "OPTUNA_TRIAL_PATH"
"""The PATH of the command, which uv changes for this program."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf"
MISSING = "ml-intern: Optuna is missing on this machine: install it (pip install 'optuna>=4.4') or install uv"


def optuna_module() -> Any:
    """Return Optuna. Without it, start this program again by uv, which fetches it."""
    try:
        import optuna
    except ImportError:
        uv = shutil.which("uv")
        if uv is None or SEARCH_PATH in os.environ:
            sys.exit(MISSING)
        os.environ[SEARCH_PATH] = os.environ.get("PATH", os.defpath)
        words = ["uv", "run", "--no-project", "--quiet", "--with", "optuna>=4.4,<5", "python"]
        os.execv(uv, [*words, "-c", sys.orig_argv[2], *sys.argv[1:]])  # noqa: S606  no shell
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(optuna: Any, order: dict[str, Any]) -> Any:
    """Open the study, or create it. Its sampler avoids values that other runs are trying now."""
    path = Path(order["study"]).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.create_study(
        storage=storage,
        study_name="sweep",
        direction="maximize" if order["higher"] else "minimize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=order["seed"], constant_liar=True, n_startup_trials=order["first"]),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=order["first"], n_warmup_steps=1),
    )


def suggested(trial: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Ask for a value of each parameter: from a list, or from a range."""
    values = {}
    for name, choices in parameters.items():
        if isinstance(choices, list):
            values[name] = trial.suggest_categorical(name, choices)
        elif isinstance(choices["low"], int) and isinstance(choices["high"], int):
            values[name] = trial.suggest_int(name, choices["low"], choices["high"], log=choices["log"])
        else:
            value = trial.suggest_float(name, choices["low"], choices["high"], log=choices["log"])
            values[name] = float(f"{value:.6g}")
    return values


def filled(words: list[str], values: dict[str, Any], *, quote: bool) -> list[str]:
    """Return the command with the values, quoted in the text of a shell."""
    for name, value in values.items():
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        words = [word.replace(f"{{{name}}}", shlex.quote(shown) if quote else shown) for word in words]
    return words


def run(words: list[str], metric: str, trial: Any) -> tuple[int, list[float], bool]:
    """Run the command. Return its exit code, the values of the metric, and whether it was stopped as a bad run."""
    environment = {**os.environ, "PATH": os.environ.get(SEARCH_PATH, os.environ.get("PATH", os.defpath))}
    if SEARCH_PATH in os.environ:
        environment.pop("VIRTUAL_ENV", None)
    pattern = re.compile(rf"(?<![\w.]){re.escape(metric)}[\"']?\s*[=:]?\s*({NUMBER})", re.IGNORECASE)
    found: list[float] = []
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(process.pid, signal.SIGTERM))
    for line in process.stdout or ():
        sys.stdout.buffer.write(line)
        sys.stdout.flush()
        numbers = [float(one) for one in pattern.findall(line.decode(errors="replace"))]
        for number in numbers:
            found.append(number)
            trial.report(number, len(found))
        if numbers and trial.should_prune():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return 0, found, True
    return process.wait(), found, False


def main(order: dict[str, Any], words: list[str]) -> int:
    """Run one trial and return the exit code."""
    optuna = optuna_module()
    study = open_study(optuna, order)
    trial = study.ask()
    values = suggested(trial, order["parameters"])
    print(f"optuna: trial {trial.number}:", *(f"{name}={value}" for name, value in values.items()), flush=True)
    code, found, pruned = run(filled(words, values, quote=order["quote"]), order["metric"], trial)
    if pruned:
        print(f"optuna: stopped early: {order['metric']} {found[-1]:g} is worse than the median at report {len(found)}")
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif code or not found or math.isnan(found[-1]):
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if not code and not found:
            print(f"optuna: the run printed no {order['metric']}, such as {order['metric']}=0.5")
            return 1
    else:
        study.tell(trial, found[-1])
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if done:
        best = study.best_trial
        print(f"optuna: best so far is trial {best.number} with {best.params}")
    return code


sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
