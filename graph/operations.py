"""The operations of a session: everything an interface can request. Plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired
from uuid import uuid4

from typing_extensions import TypedDict

from ml_intern.graph.limits import TOOL_TIMEOUT_S, ApprovalMode

GrantScope = Literal["thread", "folder", "everywhere"]
"""Where an "always" answer applies: one thread, its folder, or every folder."""


class Decision(TypedDict):
    """An answer to one open call. `args` belongs to edit, `message` to reject and respond.

    `always` belongs to approve. It creates the grants that the request offers, in this scope.
    """

    type: Literal["approve", "edit", "reject", "respond"]
    message: NotRequired[str]
    args: NotRequired[dict[str, Any]]
    always: NotRequired[GrantScope]


def new_id() -> str:
    """Return the id of a new message."""
    return uuid4().hex


@dataclass(frozen=True)
class UserInput:
    """A user message. It starts a turn after those before it.

    While an approval is pending, it starts its turn at once and closes the pending calls as "superseded".
    """

    text: str
    typed: str | None = None
    """The part that the user typed, where files or piped input were added; None if the user typed all of it."""
    images: tuple[str, ...] = ()
    """Attached images, as data URLs."""
    sources: tuple[str, ...] = ()
    """Sources of the untrusted text that was added."""
    id: str = field(default_factory=new_id, compare=False)
    """The id of the message in the conversation. A message that is submitted twice is delivered once."""


@dataclass(frozen=True)
class EditQueued:
    """Replace the contents of a queued message. The fields are those of UserInput."""

    id: str
    text: str
    typed: str | None = None
    images: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unqueue:
    """Remove a queued message."""

    id: str


@dataclass(frozen=True)
class Steer:
    """Add a queued message to the running turn before its next model call. If no turn runs, start one with it."""

    id: str


@dataclass(frozen=True)
class ExecApproval:
    """Answers to the pending requests, by call id. A request without an answer is rejected."""

    decisions: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    by: str = ""
    """The client that answers, such as terminal or approve. The host of a connection sets it."""
    device: str = ""
    """The user's browser or program, such as Chrome on Android, if the client serves several."""


@dataclass(frozen=True)
class Interrupt:
    """Stop the running turn now. Its open calls are closed."""


@dataclass(frozen=True)
class Compact:
    """Shorten the conversation. `keep` describes in the user's words what to preserve."""

    keep: str = ""


@dataclass(frozen=True)
class Continue:
    """Continue the last turn if it was interrupted, failed or reached a limit. Its iterations start anew."""


Scope = Literal["both", "conversation", "files"]
"""The parts that an undo or a redo restores."""


@dataclass(frozen=True)
class Undo:
    """Undo the last turns."""

    turns: int = 1
    files: Scope = "both"
    all_files: bool = False
    """Restore files that were changed outside the turns, too."""


@dataclass(frozen=True)
class Redo:
    """Restore the turns of the last undo."""

    files: Scope = "both"
    all_files: bool = False
    """Restore files that were changed after the undo, too."""


@dataclass(frozen=True)
class Fork:
    """Continue in a copy of this thread up to the end of `turn`; None copies all turns."""

    turn: int | None = None


@dataclass(frozen=True)
class Rename:
    """Give the thread a title."""

    title: str


@dataclass(frozen=True)
class SetModel:
    """Use another model from the next call on."""

    model: str


@dataclass(frozen=True)
class SetEffort:
    """Use another reasoning effort from the next call on; None or off means the model's default."""

    level: str | None


@dataclass(frozen=True)
class SetMode:
    """Use another approval mode from the next call on, also in a turn that runs."""

    mode: ApprovalMode


@dataclass(frozen=True)
class SetGoal:
    """Give the thread a goal that is checked at the end of each turn; "" removes it."""

    goal: str


@dataclass(frozen=True)
class RunCommand:
    """Run a command that the user typed (`!cmd`) under policy and journal, and add its output to the conversation."""

    command: str


@dataclass(frozen=True)
class OfferedTool:
    """A function of a client that the model can call as a tool."""

    name: str
    description: str
    """The description for the model."""
    parameters: Mapping[str, Any]
    """JSON schema of its arguments, which are an object."""
    read_only: bool = False
    """It changes nothing, so its calls need no approval."""
    timeout_s: float = TOOL_TIMEOUT_S
    """Seconds after which a call fails."""


@dataclass(frozen=True)
class OfferTools:
    """Offer functions of the client as tools, in place of those it offered before.

    A call is the event `tool_request`, which the client answers with ToolReply. When its connection ends, calls fail.
    """

    tools: tuple[OfferedTool, ...]
    by: str = ""
    """The client. The host of a connection sets it."""


@dataclass(frozen=True)
class ToolReply:
    """The result of a `tool_request`."""

    id: str
    """The id of the request."""
    text: str
    """The result, or the reason for the failure, for the model."""
    ok: bool = True
    sources: tuple[str, ...] = ()
    """Sources of the untrusted text in the result."""


@dataclass(frozen=True)
class New:
    """Continue in a new, empty thread."""


@dataclass(frozen=True)
class Resume:
    """Continue in another thread, given by its id, a unique prefix of the id, or its title."""

    thread: str


@dataclass(frozen=True)
class Shutdown:
    """End the session; the thread stays resumable."""


@dataclass(frozen=True)
class Settle:
    """Repeat pending requests and continue interrupted work. The session submits it after it opens a thread."""


@dataclass(frozen=True)
class Wake:
    """Report an ended run to the model, unless a turn did or an approval is pending. The session submits it."""


@dataclass(frozen=True)
class Disconnected:
    """Fail the calls of the tools of a client whose connection has ended. The host of the connection submits it."""

    client: str


@dataclass(frozen=True)
class Deliver:
    """Start a turn with the next queued message if the one with this id still waits. The session submits it."""

    id: str
    supersedes: bool = False
    """Start it even if an approval is pending."""


Operation = (
    UserInput
    | EditQueued
    | Unqueue
    | Steer
    | ExecApproval
    | Interrupt
    | Compact
    | Continue
    | Undo
    | Redo
    | Fork
    | Rename
    | SetModel
    | SetEffort
    | SetMode
    | SetGoal
    | RunCommand
    | OfferTools
    | ToolReply
    | New
    | Resume
    | Shutdown
    | Settle
    | Wake
    | Disconnected
    | Deliver
)
