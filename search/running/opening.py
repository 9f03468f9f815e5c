"""Open a search in this process: check what the user asks for, save it, and lock it against other processes."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import TemporaryError, ThreadLocked, UsageError
from ml_intern.evidence.locks import is_test_data, named_files
from ml_intern.search.evaluation import SearchEvaluator, with_data
from ml_intern.search.files.worktrees import SearchFiles, check_place
from ml_intern.search.plan import SearchLimits, SearchPlan
from ml_intern.search.record import SearchRecord
from ml_intern.search.running.attempt import lock_digests
from ml_intern.search.running.pool import PoolMachines, check_pool
from ml_intern.search.running.state import RunningSearch
from ml_intern.search.saved import SavedSearch, add_search, lock_name_of, new_search_id
from ml_intern.search.tree import SearchTree
from ml_intern.session.opening.continuation import saved_options
from ml_intern.session.opening.options import as_run_options, load_settings
from ml_intern.session.opening.request import SessionRequest
from ml_intern.store.store import Store
from ml_intern.text.formatting import money, plural

_MAX_SCRIPT = 200_000
_SAVED = ("model", "effort", "max_iterations", "settings_file", "verify", "patience", "sandbox", "strict_budget")


def checked_plan(plan: SearchPlan, limits: SearchLimits) -> SearchPlan:
    """Return the plan with all its locked files. Raises UsageError for what cannot work."""
    folder = Path(plan.folder)
    check_place(folder)
    if limits.budget_usd is not None and plan.attempt_usd is not None and limits.budget_usd < 2 * plan.attempt_usd:
        bought = plural(int(limits.budget_usd / plan.attempt_usd), "attempt")
        problem = f"the budget of {money(limits.budget_usd)} is enough for {bought} of {money(plan.attempt_usd)}"
        raise UsageError(problem, "raise --budget, or lower --attempt-usd")
    if plan.holdout:
        _check_holdout(plan, folder)
    names = [name for name in _evaluator_files(plan.evaluator, folder) if name != plan.holdout]
    found = lock_digests((*plan.locks, *names), folder)
    unknown = [pattern for pattern in plan.locks if not lock_digests((pattern,), folder)]
    if unknown:
        raise UsageError(f"--lock: no file matches {unknown[0]!r}", "give a file or a pattern of the working folder")
    return replace(plan, locks=tuple(sorted({*found, *plan.locks})))


def _check_holdout(plan: SearchPlan, folder: Path) -> None:
    path = Path(plan.holdout)
    if not path.is_file():
        raise UsageError(f"--holdout: {path} is not a file", "name the file with the test data")
    if not with_data(plan.evaluator, plan.holdout):
        problem = "--holdout: the evaluator does not name its test data, which the hold-out replaces at the end"
        raise UsageError(problem, "give the file as an argument: --eval 'python eval.py data/test.csv'")
    if SearchFiles.of("check", folder).tracks(path):
        raise UsageError(f"--holdout: {path} is tracked by git, where attempts can read it", "move it elsewhere")


def _evaluator_files(command: str, folder: Path) -> list[str]:
    """Return the files of the folder that the evaluator uses: those in its command, and the data that these name."""
    found = [name for name in named_files(command) if (folder / name).is_file()]
    for name in list(found):
        path = folder / name
        if path.suffix in (".py", ".sh") and path.stat().st_size < _MAX_SCRIPT:
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [one for one in named_files(text) if is_test_data(one) and (folder / one).is_file()]
    return list(dict.fromkeys(found))


async def begin_search(store: Store, plan: SearchPlan, limits: SearchLimits, request: SessionRequest) -> SavedSearch:
    """Save a new search. Raises UsageError, and the errors of the settings."""
    options = as_run_options(request, load_settings(request, Path(plan.folder)), Path(plan.folder))
    check_pool(plan.pool, options.compute)
    record = SearchRecord(
        new_search_id(), checked_plan(plan, limits), limits, SearchTree(plan.objective), "measuring",
        started=time.time(), options={**saved_options(request, options.model), "model": options.model},
    )  # fmt: skip
    return await add_search(store, record)


async def unfinished(store: Store, plan: SearchPlan) -> SavedSearch | None:
    """Return the latest search of the folder with the same plan that has not finished."""
    for row in await store.searches.list(plan.folder):
        record = await SavedSearch(store, row.id).load()
        same = replace(record.plan, locks=plan.locks) == plan and {*plan.locks} <= {*record.plan.locks}
        if same and record.state != "finished":
            return SavedSearch(store, row.id)
    return None


def with_saved(request: SessionRequest, saved: Mapping[str, Any]) -> SessionRequest:
    """Return a request with the options of a search. A given option wins."""
    changes = {name: saved[name] for name in _SAVED if name in saved and not getattr(request, name)}
    endpoint = saved.get("endpoint")
    if endpoint and not request.base_url and request.model in (None, saved.get("model")):
        changes |= {"base_url": endpoint["base_url"], "api_key_env": endpoint["key"]}
    changes["assignments"] = (*saved.get("assignments", ()), *request.assignments)
    changes["add_dirs"] = request.add_dirs or tuple(saved.get("add_dirs", ()))
    return replace(request, **changes)


@asynccontextmanager
async def opened_search(
    saved: SavedSearch, request: SessionRequest, show: Callable[[SearchRecord], object]
) -> AsyncIterator[RunningSearch]:
    """Lock a search for this process, and prepare it. Raises TemporaryError if another process runs it."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(saved.store.hold(lock_name_of(saved.search_id)))
        except ThreadLocked as error:
            problem = f"another process runs the search {saved.search_id}"
            raise TemporaryError(problem, f"watch it with `ml-intern improve status {saved.search_id}`") from error
        yield await _prepared(saved, await saved.load(), request, show)


async def _prepared(
    saved: SavedSearch, record: SearchRecord, request: SessionRequest, show: Callable[[SearchRecord], object]
) -> RunningSearch:
    plan, folder = record.plan, Path(record.plan.folder)
    hidden = (plan.holdout,) if plan.holdout else ()
    request = replace(
        with_saved(request, record.options), headless=True, folder=str(folder), holdout=None, goal=None, locks=(),
        hidden=hidden, thread=None, latest=False, fork=False, ephemeral=False,
    )  # fmt: skip
    options = as_run_options(request, load_settings(request, folder), folder)
    files = SearchFiles.of(saved.search_id, folder, plan.holdout)
    evaluator = SearchEvaluator(plan, replace(options, add_dirs=()), files.home)
    evaluator.check()
    search = RunningSearch(saved, record, files, evaluator, request, {}, show)
    if plan.pool:
        check_pool(plan.pool, options.compute)
        machines = PoolMachines(saved.store, plan, saved.search_id, options.compute, search.waits)
        await machines.stop_earlier()
        search.evaluator = replace(evaluator, machines=machines)
    return search
