"""Messages for the model about its background runs: their ends, and the conditions that they met."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from langchain_core.messages import AnyMessage

from ml_intern.execution.provenance import source_note
from ml_intern.graph.state import note
from ml_intern.runs.summary import notice_text, report, sources_of
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.runs import RunRow
from ml_intern.store.store import Store


@dataclass(frozen=True)
class RunNews:
    """Messages, their ids in `reported_runs`, and the outside sources of what they quote."""

    ids: Sequence[str]
    messages: Sequence[AnyMessage]
    sources: Sequence[str]


async def unreported_news(store: Store, thread_id: str, reported: Sequence[str]) -> RunNews:
    """Return what is not reported yet: notices first, then ends, each oldest first."""
    if not await store.runs.has_any(thread_id):
        return RunNews([], [], [])
    notices = await store.runs.unreported_notices(thread_id, reported)
    ended = await store.runs.finished_unreported(thread_id, reported)
    found: list[tuple[str, RunRow, str]] = [(id, run, notice_text(run, notice)) for id, run, notice in notices]
    found += [(run.id, run, report(run)) for run in ended]
    sources = [await sources_of(run) for _, run, _ in found]
    messages = [_message(id, text, outside) for (id, _, text), outside in zip(found, sources, strict=True)]
    return RunNews([id for id, _, _ in found], messages, list(dict.fromkeys(chain(*sources))))


def _message(id: str, text: str, sources: tuple[str, ...]) -> AnyMessage:
    return note(redact("\n".join([text, *source_note(sources)])), id=f"run:{id}")
