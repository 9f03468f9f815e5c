"""REQUESTS: what a client can read from a session, and the few changes that are not operations, with their types."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_intern.execution.tool import ServerState
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import Undo
from ml_intern.graph.state import PlanStep
from ml_intern.outbound.conversation import Conversation, Message
from ml_intern.safety.policy import Verdict
from ml_intern.session.protocol import ModelInfo, QueuedMessage, RuleInfo, ToolInfo, TurnEnd
from ml_intern.session.turns.rewind import UndoPreview
from ml_intern.session.turns.turns import TurnInfo
from ml_intern.store.ledger import Spending, Totals
from ml_intern.store.permissions import PermissionRow
from ml_intern.store.runs import RunRow
from ml_intern.store.threads import ThreadRow

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session


@dataclass(frozen=True)
class NoArguments:
    """The arguments of most requests."""


@dataclass(frozen=True)
class Since:
    """An earlier `spending`."""

    since: list[Spending] = field(default_factory=list[Spending])


@dataclass(frozen=True)
class JudgedCommand:
    """A shell command."""

    command: str


@dataclass(frozen=True)
class Rest:
    """Whether to wait for the background runs first."""

    runs_first: bool = False


@dataclass(frozen=True)
class Prefix:
    """The beginning of the ids of background runs."""

    prefix: str = ""


@dataclass(frozen=True)
class Check(Prefix):
    """The runs to poll, and whether to add the end of their logs."""

    logs: bool = False


@dataclass(frozen=True)
class Number:
    """The number of a saved answer."""

    number: int


@dataclass(frozen=True)
class Visibility:
    """Whether the dataset of traces is public."""

    public: bool


@dataclass(frozen=True)
class ThreadFilter:
    """The threads to list."""

    folder: str | None = None
    limit: int | None = None
    children: bool = False


@dataclass(frozen=True)
class PermissionReport:
    """PermissionInfo with its types at run time."""

    rules: tuple[RuleInfo, ...]
    warnings: tuple[str, ...]
    answers: tuple[PermissionRow, ...]


@dataclass(frozen=True)
class Report:
    """RunReport with its types at run time."""

    run: RunRow
    status: str
    metric: str
    log: str
    problem: str


@dataclass(frozen=True)
class RequestSpec:
    """A request: the method that answers it, the type of its arguments and of its result."""

    answer: "Callable[[Session, Any], Any]"
    result: Any
    arguments: type = NoArguments
    changes: bool = False
    """Whether it changes something: `call` instead of `get`."""


async def _permissions(session: "Session", _: NoArguments) -> PermissionReport:
    return PermissionReport(**vars(await session.permissions()))


async def _check_runs(session: "Session", args: Check) -> list[Report]:
    return [Report(**vars(one)) for one in await session.runs.check(args.prefix, logs=args.logs)]


async def _stop_run(session: "Session", args: Check) -> list[Report]:
    return [Report(**vars(one)) for one in await session.runs.check(args.prefix, stop=True, logs=args.logs)]


async def _preview_undo(session: "Session", undo: Undo) -> UndoPreview:
    await session.idle()
    return await session.preview_undo(undo)


REQUESTS: dict[str, RequestSpec] = {
    "row": RequestSpec(lambda session, _: session.row(), ThreadRow | None),
    "history": RequestSpec(lambda session, _: session.history(), Sequence[Message]),
    "plan": RequestSpec(lambda session, _: session.plan(), Sequence[PlanStep]),
    "turns": RequestSpec(lambda session, _: session.turns(), Sequence[TurnInfo]),
    "queue": RequestSpec(lambda session, _: session.queue(), Sequence[QueuedMessage]),
    "totals": RequestSpec(lambda session, _: session.totals(), Totals),
    "spending": RequestSpec(lambda session, _: session.spending(), Sequence[Spending]),
    "usage": RequestSpec(lambda session, args: session.usage(args.since), dict[str, Any], Since),
    "pending_approval": RequestSpec(lambda session, _: session.pending_approval(), dict[str, Any] | None),
    "preview_undo": RequestSpec(_preview_undo, UndoPreview, Undo),
    "conversation": RequestSpec(lambda session, _: session.conversation(), Conversation),
    "evidence": RequestSpec(lambda session, _: session.evidence(), dict[str, Any]),
    "end": RequestSpec(lambda session, _: session.end, TurnEnd | None),
    "options": RequestSpec(lambda session, _: session.options, RunOptions),
    "model": RequestSpec(lambda session, _: session.model(), ModelInfo),
    "tools": RequestSpec(lambda session, _: session.tools(), Sequence[ToolInfo]),
    "servers": RequestSpec(lambda session, _: session.servers(), Sequence[ServerState]),
    "permissions": RequestSpec(_permissions, PermissionReport),
    "judge": RequestSpec(lambda session, args: session.judge(args.command), Verdict, JudgedCommand),
    "threads": RequestSpec(
        lambda session, args: session.all_threads().list(args.folder, args.limit, children=args.children),
        Sequence[ThreadRow],
        ThreadFilter,
    ),
    "run_ids": RequestSpec(lambda session, args: session.runs.ids(args.prefix), Sequence[str], Prefix),
    "runs": RequestSpec(lambda session, _: session.runs.unfinished(), Sequence[RunRow]),
    "check_runs": RequestSpec(_check_runs, Sequence[Report], Check),
    "idle": RequestSpec(lambda session, _: session.idle(), None),
    "at_rest": RequestSpec(lambda session, args: session.at_rest(runs_first=args.runs_first), None, Rest),
    "stop_run": RequestSpec(_stop_run, Sequence[Report], Check, True),
    "stop_runs": RequestSpec(lambda session, _: session.runs.stop(), Sequence[RunRow], changes=True),
    "remove_permission": RequestSpec(
        lambda session, args: session.remove_permission(args.number), bool, Number, True
    ),
    "set_trace_visibility": RequestSpec(
        lambda session, args: session.set_trace_visibility(public=args.public), str, Visibility, True
    ),
}  # fmt: skip
