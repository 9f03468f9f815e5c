"""The data of the event `ready`, with notes about the models of a run."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from ml_intern.configs.version import version
from ml_intern.graph.context import RunOptions, sandbox_name
from ml_intern.models.gateway import price_key
from ml_intern.models.routing import Route
from ml_intern.models.text_calls import NOTE
from ml_intern.store.ledger import UNPRICED_REQUESTS_PER_DOLLAR, unpriced_allowed
from ml_intern.text.formatting import money, plural
from ml_intern.tools.registry import select_for_window

if TYPE_CHECKING:
    from ml_intern.execution.tool import Services


def ready(options: RunOptions, services: "Services", notes: Iterable[str]) -> dict[str, Any]:
    """Return the fields of `ready`. `notes` follow those of the options."""
    lines = services.servers.problems() if services.servers is not None else []
    servers = [line for line in lines if line not in options.notes]
    tools = services.offered(options)
    return {
        "model": options.model,
        "tools": sorted(tools),
        "version": version(),
        "cwd": options.workspace,
        "approval_mode": options.approval_mode,
        "sandbox": sandbox_name(options),
        "max_iterations": options.max_iterations,
        "max_budget_usd": options.max_budget_usd,
        "unpriced_models": services.models.unpriced(options),
        "notes": [*options.notes, *notes_on_models(options, services), *servers, *notes],
    }


def notes_on_models(options: RunOptions, services: "Services") -> Iterator[str]:
    """Yield warnings about known limits of the models of a run."""
    models, tools = services.models, services.offered(options)
    yield from (str(one) for one in models.retired(options.models, date.today()))
    yield from models.unlisted(options)
    yield from (_unpriced_note(models.route(model), options) for model in models.unpriced(options))
    if models.calls_by_text(options.model):
        forced = models.abilities(options.model).tools is not False
        yield f"{options.model} {'calls tools by text (setting tool_calls)' if forced else NOTE}"
    window = models.window(options.model)
    if window and len(few := select_for_window(tools, window)) < len(tools):
        yield f"{options.model} has a context window of {window:,} tokens and gets only these tools: {', '.join(few)}"


def _unpriced_note(route: Route, options: RunOptions) -> str:
    """Say that the budget cannot limit a model of unknown price, what limits it instead, and the remedies."""
    allowed = plural(unpriced_allowed(options.max_budget_usd), "request")
    return (
        f"no price is known for {route.model}: the budget of {money(options.max_budget_usd)} allows {allowed} to it "
        f"({UNPRICED_REQUESTS_PER_DOLLAR} per dollar). To set a price in US dollars per million tokens: "
        f"--set 'prices={{\"{price_key(route)}\": X}}' (0 if free). To refuse such models: --strict-budget"
    )
