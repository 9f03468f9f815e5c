"""Report what a Python process does: seeds, fits, steps, devices and versions. Imported by Python at its start.

A report is an attempt to start a program that does not exist: the recorder of programs reads its words from outside,
so a report needs no file. It is only a hint, since the code of the process can change it. It must not break the
process: each patch may fail, and only what Python has loaded at its start is imported.
"""

import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_REPORT = "/ml-intern/hint"
_MAX_REPORTS = 60
_MAX_VERSIONS = 40
_CALLER = 4
"""How many calls lie between the program and the report of its seed."""
_MAX_HANDLED, _MAX_HANDLED_A_SECOND = 13_000, 20_000
"""Handled exceptions that are watched, and how many more for each second of the process. One costs 0.001 ms."""
_MAX_LINES = 30
_MAX_HANDLED_OF_CODE = 20
_LINES_AFTER = 8
"""Lines after an exception that are reported: the `except` clauses that were tried, and the first ones of its body."""
_MAX_FITS = 5
_MAX_METRICS = 12
_MADE_UP = ("rand", "normal(", "gauss", "uniform(", "zeros(", "ones(", "full(", "make_", "load_", "fetch_", "from_")
"""Parts of calls that could replace data or weights. Only scripts with one are watched before Python 3.12."""
_MAX_SOURCE = 200_000
_MAX_CALLS, _MAX_CALLS_A_SECOND = 60_000, 20_000
"""Calls that are watched before Python 3.12, and how many more for each second. One costs 0.0002 ms, a line as 6."""
_CALLS_A_LINE = 6
_TOOL = 4
"""The number of the hook as a tool of `sys.monitoring`."""
_monitoring: "Any" = getattr(sys, "monitoring", None)
"""New in Python 3.12."""
_reported: "set[str]" = set()
_passes: "dict[int, tuple[int, int]]" = {}
_steps = [0]
_handled = [0]
_handled_of: "dict[Any, int]" = {}
_lines_left: "dict[Any, int]" = {}
_lines: "set[tuple[str, int]]" = set()
_calls = [0]
_metrics: "set[str]" = set()
_first_rows: "dict[str, list[int]]" = {}
"""The digests of the first rows of the last fits of each class."""


def _report(text: str) -> None:
    """Hand a line to the recorder, each line once."""
    if text in _reported or len(_reported) >= _MAX_REPORTS:
        return
    _reported.add(text)
    try:
        os.execv(_REPORT, ["hint", text])  # noqa: S606  it does not exist
    except (OSError, ValueError):
        return


def _safely(action: "Callable[..., object]", *arguments: "Any") -> None:
    """Do something that must not disturb the program."""
    try:
        action(*arguments)
    except Exception:  # noqa: BLE001  the program does not need the report
        return


def _replaced(function: "Any", after: "Callable[..., object]") -> "Any":
    """Return the function, with `after(result, arguments)` called at its end."""

    def run(*args: "Any", **kwargs: "Any") -> "Any":
        result = function(*args, **kwargs)
        _safely(after, result, args or tuple(kwargs.values()))
        return result

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        _safely(lambda name: setattr(run, name, getattr(function, name)), name)
    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run


def _seeds(name: str, *functions: str) -> "Callable[[Any], None]":
    """Return a patch that reports the seeds which the program sets, not those that libraries set."""

    def report(function: str, given: "Any") -> None:
        if given and not _is_of_library(sys._getframe(_CALLER).f_code.co_filename):
            _report(f"seed {name}.{function} {given[0]!r:.40}")

    def patch(module: "Any") -> None:
        for function in functions:
            after = _seed_report(report, function)
            setattr(module, function, _replaced(getattr(module, function), after))

    return patch


def _seed_report(report: "Callable[[str, Any], None]", function: str) -> "Callable[..., object]":
    return lambda _result, given: report(function, given)


def _fitting(module: "Any") -> None:
    """Report class, rows and iterations of each fit of scikit-learn."""
    decorator_of = module._fit_context

    def fit_context(*args: "Any", **kwargs: "Any") -> "Any":
        decorate = decorator_of(*args, **kwargs)
        return lambda fit: _replaced(decorate(fit), _fitted)

    module._fit_context = fit_context


def _fitted(_result: "Any", given: "Any") -> None:
    estimator, rows = given[0], getattr(given[1], "shape", None) if len(given) > 1 else None
    done, most = getattr(estimator, "n_iter_", None), getattr(estimator, "max_iter", None)
    words = [f"fit {type(estimator).__name__}"]
    words += [f"rows={rows[0]}"] if rows else []
    if done is not None and most is not None:
        words.append(f"n_iter={max(done) if hasattr(done, '__len__') else done} max_iter={most}")
    _report(" ".join(words))
    if rows and len(rows) == 2:
        known = _first_rows.setdefault(type(estimator).__name__, [])
        known.append(_row_digest((given[1].iloc if hasattr(given[1], "iloc") else given[1])[0].tolist()))
        del known[:-_MAX_FITS]


def _row_digest(row: "list[Any]") -> int:
    """Return a number that each process computes for this row. evidence/reproduction/fitted_on.py has it too."""
    return hash(tuple(_digits(value) for value in row))


def _digits(value: "Any") -> float:
    """Return a number to five digits; -1 stands for a missing value, and -2 for one that is not a number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return -2.0
    return float(f"{value:.5g}") if value == value else -1.0


def _loading(module: "Any") -> None:
    """Count the passes over each loader of torch."""

    def count(_result: "Any", given: "Any") -> None:
        seen, _ = _passes.get(id(given[0]), (0, 0))
        _passes[id(given[0])] = (seen + 1, len(given[0].dataset))

    module.DataLoader.__iter__ = _replaced(module.DataLoader.__iter__, count)


def _stepping(module: "Any") -> None:
    """Count the steps of torch's optimizers."""

    def count(*_given: "Any") -> None:
        _steps[0] += 1

    module.register_optimizer_step_post_hook(count)


def _metric(_result: "Any", given: "Any") -> None:
    """Report the rows of a metric, with the lines of the program that lead to it."""
    if len(_metrics) >= _MAX_METRICS:
        return
    rows = next(len(one) for one in given if hasattr(one, "__len__"))
    place = _lines_to_here()
    if place and rows:
        text = f"metric rows={rows} lines={place}"
        _metrics.add(text)
        _report(text)


def _lines_to_here() -> str:
    """Return the lines of the program around a call of scikit-learn, and their file; "" if a library calls it."""
    frame: Any = sys._getframe(1)
    lines, path = [], ""
    while frame is not None:
        name = frame.f_code.co_filename
        if _is_of_library(name):
            if (path and name[:7] != "<frozen") or "model_selection" in name or "joblib" in name:
                return ""
        elif path and name != path:
            return ""
        else:
            path = name
            lines.append(str(frame.f_lineno))
        frame = frame.f_back
    return f"{','.join(lines)} {_absolute(path)}" if path else ""


def _scoring(*functions: str) -> "Callable[[Any], None]":
    """Return a patch that reports the rows of the metrics that call these functions."""

    def patch(module: "Any") -> None:
        for function in functions:
            _safely(lambda name: setattr(module, name, _replaced(getattr(module, name), _metric)), function)

    return patch


def _watch_handlers() -> None:
    """Report the lines of the program that run after an exception was caught."""
    if _monitoring is None:
        _trace_handlers()
        return
    events = _monitoring.events
    _monitoring.use_tool_id(_TOOL, "ml-intern")
    _monitoring.register_callback(_TOOL, events.EXCEPTION_HANDLED, _on_handled)
    _monitoring.register_callback(_TOOL, events.LINE, _on_line)
    _monitoring.set_events(_TOOL, events.EXCEPTION_HANDLED)


def _on_handled(code: "Any", _offset: int, _exception: BaseException) -> None:
    _handled[0] += 1
    if _handled[0] % 1000 == 0 and _handled[0] > _MAX_HANDLED + _MAX_HANDLED_A_SECOND * time.process_time():
        _monitoring.set_events(_TOOL, 0)
        return
    if _is_of_library(code.co_filename):
        return
    seen = _handled_of.get(code, 0)
    if seen < _MAX_HANDLED_OF_CODE:
        _handled_of[code] = seen + 1
        _lines_left[code] = _LINES_AFTER
        _monitoring.set_local_events(_TOOL, code, _monitoring.events.LINE)


def _on_line(code: "Any", line: int) -> None:
    if len(_lines) >= _MAX_LINES:
        _monitoring.set_events(_TOOL, 0)
        _monitoring.set_local_events(_TOOL, code, 0)
        return
    _report_line(code, line)
    _lines_left[code] = _lines_left.get(code, 1) - 1
    if _lines_left[code] <= 0:
        _monitoring.set_local_events(_TOOL, code, 0)


def _trace_handlers() -> None:
    """Watch the handlers of the program before Python 3.12, if it has one and contains what could replace data."""
    name, text = _main_source()
    if "except" not in text or not any(word in text for word in _MADE_UP):
        return
    names = (name, os.path.join(os.getcwd(), name))  # noqa: PTH109, PTH118  pathlib is not imported

    def on_call(frame: "Any", _event: str, _given: "Any") -> "Any":
        _count(1)
        return on_event if frame.f_code.co_filename in names else None

    def on_event(frame: "Any", event: str, given: "Any") -> "Any":
        _count(_CALLS_A_LINE)
        if event == "exception" and given[0] is not StopIteration:
            _lines_left[frame.f_code] = _LINES_AFTER
        elif event == "line" and _lines_left.get(frame.f_code, 0) > 0 and len(_lines) < _MAX_LINES:
            _lines_left[frame.f_code] -= 1
            _report_line(frame.f_code, frame.f_lineno)
        return on_event

    _pause_in_imports(on_call)
    sys.settrace(on_call)


def _count(calls: int) -> None:
    """Count calls, and end the watching if there were too many."""
    before = _calls[0]
    _calls[0] = before + calls
    if before // 1000 < _calls[0] // 1000 and _calls[0] > _MAX_CALLS + _MAX_CALLS_A_SECOND * time.process_time():
        sys.settrace(None)


def _pause_in_imports(watch: "Any") -> None:
    """Do not watch while modules are imported."""
    builtins = sys.modules["builtins"]
    load = builtins.__import__

    def load_unwatched(*args: "Any", **kwargs: "Any") -> "Any":
        if sys.gettrace() is not watch:
            return load(*args, **kwargs)
        sys.settrace(None)
        try:
            return load(*args, **kwargs)
        finally:
            sys.settrace(watch)

    builtins.__import__ = load_unwatched  # type: ignore[attr-defined]


def _main_source() -> "tuple[str, str]":
    """Return name and text of the program that Python was started for; "" if it is not a script or -c."""
    words = sys.orig_argv[1:]
    for place, word in enumerate(words):
        if word == "-c":
            return "<string>", words[place + 1]
        if word[:1] != "-":
            with open(word, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  pathlib is not imported
                return word, file.read(_MAX_SOURCE)
        if word[:2] in ("-m", "-W", "-X") or word == "-":
            break
    return "", ""


def _report_line(code: "Any", line: int) -> None:
    """Report a line that ran after an exception was caught."""
    _lines.add((code.co_filename, line))
    _report(f"handled {line} {_absolute(code.co_filename)}")


def _absolute(path: str) -> str:
    return path if path[:1] == "<" else os.path.abspath(path)  # noqa: PTH100  pathlib is not imported


def _is_of_library(name: str) -> bool:
    return "site-packages" in name or "/lib/python" in name or name.startswith("<frozen") or name == __file__


def _warning(module: "Any") -> None:
    """Report the warnings of fits that did not converge, also those that a filter of the program hides."""
    warn = module.warn

    def report(message: "Any", category: "Any") -> None:
        kind = type(message) if isinstance(message, Warning) else category
        if getattr(kind, "__name__", "") == "ConvergenceWarning":
            _report(f"warning ConvergenceWarning {' '.join(str(message).split())[:200]}")

    def warn_and_report(
        message: "Any", category: "Any" = None, stacklevel: int = 1, *args: "Any", **kwargs: "Any"
    ) -> None:
        _safely(report, message, category)
        warn(message, category, stacklevel + 1, *args, **kwargs)

    module.warn = warn_and_report


_PATCHES = {
    "warnings": _warning,
    "random": _seeds("random", "seed"),
    "numpy.random": _seeds("numpy.random", "seed", "default_rng"),
    "torch.random": _seeds("torch", "manual_seed"),
    "sklearn.base": _fitting,
    "sklearn.metrics._classification": _scoring("_check_targets"),
    "sklearn.metrics._regression": _scoring("_check_reg_targets"),
    "sklearn.metrics._base": _scoring("_average_binary_score"),
    "torch.utils.data.dataloader": _loading,
    "torch.optim.optimizer": _stepping,
}


class _AfterImport:
    """Calls the patch of a module after its import."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        patch = _PATCHES.pop(name, None)
        if patch is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                _safely(_patch_after, spec, patch)
                return spec
        return None


def _patch_after(spec: "Any", patch: "Callable[[Any], None]") -> None:
    load = spec.loader.exec_module

    def exec_module(module: "Any") -> None:
        load(module)
        _safely(patch, module)

    spec.loader.exec_module = exec_module


def _at_end() -> None:
    """Report what is known only at the end of the process."""
    for passes, rows in list(_passes.values())[:10]:
        _report(f"loader rows={rows} passes={passes}")
    for name, digests in list(_first_rows.items())[:10]:
        _report(f"fitted on {name} {' '.join(map(str, digests))}")
    if "torch.optim.optimizer" in sys.modules:
        _report(f"optimizer steps={_steps[0]}")
    if "torch" in sys.modules:
        _report("device cuda" if sys.modules["torch"].cuda.is_initialized() else "device cpu")
    versions = {name: vars(one).get("__version__") for name, one in list(sys.modules.items()) if "." not in name}
    found = [f"{name}={text}" for name, text in versions.items() if isinstance(text, str) and name[:1] != "_"]
    if found:
        _report("versions " + " ".join(found[:_MAX_VERSIONS]))


def _run_other(folder: str) -> None:
    """Take this folder off the import path, and run the sitecustomize that it hides."""
    sys.path[:] = [one for one in sys.path if one != folder]
    spec = sys.modules["_frozen_importlib_external"].PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(sys.modules["sitecustomize"])


if __name__ == "sitecustomize":
    for name in [name for name in _PATCHES if name in sys.modules]:
        _safely(_PATCHES.pop(name), sys.modules[name])
    sys.meta_path.insert(0, _AfterImport())
    atexit.register(_safely, _at_end)
    _safely(_watch_handlers)
    _report(f"start {sys.version_info[0]}.{sys.version_info[1]}")
    _run_other(__file__.rpartition("/")[0])
