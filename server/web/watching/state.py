"""ThreadState: what a thread's page shows beside its conversation, from the thread's row and from events."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_intern.outbound.conversation import Conversation
from ml_intern.text.formatting import money

PARTS = ("title", "status", "question", "queue", "plan", "cost", "notices")
"""The parts of the page that change on their own; each is an element with this id."""
MAX_NOTICES = 3
MAX_TITLE = 60
NO_QUEUE: Mapping[str, Any] = {"messages": [], "paused": False}
Data = Mapping[str, Any]


class ThreadState:
    """The state of a thread. `status` is idle, running, waiting (for an answer) or interrupted."""

    def __init__(self) -> None:
        self.title = self.folder = self.model = self.mode = self.sandbox = ""
        self.status = "idle"
        self.runner = ""
        """Who runs the thread: "" (no process), "web" (a process of this server) or "other"."""
        self.is_lost = False
        """Whether the process that ran the thread ended while it was watched."""
        self.question: Data | None = None
        self.answered: Data | None = None
        self.queue: Data = NO_QUEUE
        self.plan: Sequence[Data] = ()
        self.cost_usd: float | None = None
        self.unpriced = 0
        self.turns = 0
        self.usage: Data = {}
        self.endings: Data = {}
        self.notices: Sequence[Data] = ()

    def attached(self, runner: str) -> None:
        """Note who runs the thread."""
        self.runner, self.is_lost = runner, False

    def detached(self) -> None:
        """Note that the session has ended."""
        self.is_lost = self.status == "running"
        self.runner = ""

    def load(self, conversation: Conversation, row: Data | None) -> set[str]:
        """Take what the database has. Return the parts that changed."""
        self.usage = conversation.usage
        self.model = self.model or conversation.model
        if row is None:
            return set()
        self.title, self.folder, self.turns = row["title"], row["folder"], row["turns"]
        self.cost_usd, self.unpriced = row["cost_usd"], row["unpriced_requests"]
        if not self.runner:
            self.status = row["state"]
        return {"title", "status", "cost"}

    def load_rest(self, pending: Data | None, queue: Sequence[Data], plan: Sequence[Data]) -> set[str]:
        """Take what the database has of a thread that no process runs. Return the parts that changed."""
        self.question, self.plan = pending, plan
        self.queue = {"messages": queue, "paused": bool(queue)}
        return {"question", "queue", "plan"}

    def take(self, event: Mapping[str, Any]) -> set[str]:
        """Take an event. Return the parts that changed."""
        take = getattr(self, f"_on_{event['type']}", None)
        changed: set[str] = take(event["data"]) if take is not None else set()
        return changed

    # --- events

    def _on_ready(self, data: Data) -> set[str]:
        self.model, self.mode, self.sandbox = data["model"], data["approval_mode"], data["sandbox"]
        self.folder = self.folder or data["cwd"]
        self.notices = [{"text": note, "kind": "note"} for note in data["notes"]][:MAX_NOTICES]
        return {"status", "notices"}

    def _on_resumed(self, data: Data) -> set[str]:
        if not data["pending"]:
            self.status = "interrupted" if data["ended"] else "idle"
        return {"status"}

    def _on_processing(self, data: Data) -> set[str]:
        self.title = self.title or " ".join(data["text"].split())[:MAX_TITLE]
        self.status, self.question, self.answered, self.notices = "running", None, None, ()
        return {"title", "status", "question", "notices"}

    def _on_approval_required(self, data: Data) -> set[str]:
        self.status, self.question, self.answered = "waiting", data, None
        return {"status", "question"}

    def _on_approval_answered(self, data: Data) -> set[str]:
        self.status, self.question, self.answered = "running", None, data
        return {"status", "question"}

    def _on_queue(self, data: Data) -> set[str]:
        self.queue = data
        return {"queue"}

    def _on_plan_update(self, data: Data) -> set[str]:
        self.plan = data["steps"]
        return {"plan"}

    def _on_usage(self, data: Data) -> set[str]:
        self.cost_usd = data["total_cost_usd"]
        return {"cost"}

    def _on_budget(self, data: Data) -> set[str]:
        return self._notice(f"{money(data['spent_usd'])} of {money(data['cap_usd'])} spent", "warning")

    def _on_job_update(self, data: Data) -> set[str]:
        return self._notice(data["text"] or f"{data['id']}: {data['state']}", "note")

    def _on_error(self, data: Data) -> set[str]:
        remedy = f" ({data['remedy']})" if data["remedy"] else ""
        return self._notice(f"{data['message']}{remedy}", "error")

    def _on_undo_complete(self, data: Data) -> set[str]:
        self.question, self.status = None, "idle"
        for note in data["notes"]:
            self._notice(note, "note")
        return {"question", "status", "notices"}

    def _on_turn_complete(self, _: Data) -> set[str]:
        self.status, self.question, self.answered = "idle", None, None
        return {"status", "question"}

    def _on_interrupted(self, _: Data) -> set[str]:
        self.status, self.question, self.answered = "interrupted", None, None
        return {"status", "question"}

    def _notice(self, text: str, kind: str) -> set[str]:
        self.notices = [*self.notices, {"text": text, "kind": kind}][-MAX_NOTICES:]
        return {"notices"}
