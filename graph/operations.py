"""The operations of a session: everything an interface can request. Plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from ml_intern.graph.limits import ApprovalMode


class Decision(TypedDict):
    """An answer to one open call. `args` belongs to edit, `message` to reject and respond.

    `always` belongs to approve. It creates the grants that the request offers, for this thread or for this folder.
    """

    type: Literal["approve", "edit", "reject", "respond"]
    message: NotRequired[str]
    args: NotRequired[dict[str, Any]]
    always: NotRequired[Literal["thread", "folder"]]


@dataclass(frozen=True)
class UserInput:
    """A user message. It starts a turn and closes pending calls as "superseded"."""

    text: str
    typed: str | None = None
    """The part that the user typed, where files or piped input were added; None if the user typed all of it."""
    images: tuple[str, ...] = ()
    """Attached images, as data URLs."""
    sources: tuple[str, ...] = ()
    """Sources of the untrusted text that was added."""


@dataclass(frozen=True)
class ExecApproval:
    """Answers to the pending requests, by call id. A request without an answer is rejected."""

    decisions: Mapping[str, Decision] = field(default_factory=dict[str, Decision])


@dataclass(frozen=True)
class Interrupt:
    """Stop the running turn now. Its open calls are closed."""


@dataclass(frozen=True)
class Compact:
    """Shorten the conversation. `keep` describes in the user's words what to preserve."""

    keep: str = ""


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
    """Use another approval mode from the next policy check on."""

    mode: ApprovalMode


@dataclass(frozen=True)
class RunCommand:
    """Run a command that the user typed (`!cmd`) under policy and journal, and add its output to the conversation."""

    command: str


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


Operation = (
    UserInput
    | ExecApproval
    | Interrupt
    | Compact
    | Undo
    | Redo
    | Fork
    | Rename
    | SetModel
    | SetEffort
    | SetMode
    | RunCommand
    | New
    | Resume
    | Shutdown
    | Settle
    | Wake
)
