"""The page of one thread: its conversation, what it is doing, what it asks, and a field to write to it."""

from collections.abc import Callable, Mapping

from ml_intern.outbound.exporting.html_calls import checklist
from ml_intern.outbound.exporting.html_code import safe
from ml_intern.server.web.pages.layout import PageFrame, badge, button, definitions, hidden, post
from ml_intern.server.web.pages.question import answered_html, question_html
from ml_intern.server.web.watching.watched import SHOWN, WatchedThread
from ml_intern.text.formatting import plural, spent

PANELS = {"runs": "Runs", "files": "Files changed", "evidence": "Evidence", "history": "Turns and exports"}
"""The panels beside the conversation that are read when they are opened."""


def thread_page(frame: PageFrame, thread: WatchedThread, waiting: str = "") -> str:
    """Return the page, up to date with the thread's latest frame. `waiting` is shown in place of the conversation."""
    url = f"/t/{thread.thread_id}"
    part = {name: render_part(thread, name) for name in RENDERERS}
    log = waiting or "".join(block.html() for block in thread.timeline.latest(SHOWN))
    body = (
        f'<header class="bar"><a class="back" href="/" aria-label="All threads">&lsaquo;</a>'
        f'<h1 id="title">{part["title"]}</h1>'
        f'<div id="status" role="status">{part["status"]}</div>'
        '<a class="about" href="#about" aria-label="Details of this thread">&#8943;</a></header>'
        f'<div class="columns"><main id="main" tabindex="-1"><h2 class="visually-hidden">Conversation</h2>'
        f'<div id="older">{part["older"]}</div>'
        f'<div id="log" role="log" aria-live="polite" aria-relevant="additions">{log}</div>'
        f'<div id="live" aria-live="off">{thread.live.whole()}</div></main>'
        f"{_side(url, part)}"
        f'<footer class="dock"><div id="notices" role="status">{part["notices"]}</div>'
        f'<div id="question">{part["question"]}</div><div id="queue">{part["queue"]}</div>'
        f"{_composer(url)}</footer></div>"
        f'<div id="stream" hx-sse:connect="{url}/stream?after={thread.place}" hx-swap="none" '
        'hx-config=\'{"sse":{"pauseOnBackground":false,"reconnectMaxDelay":5000}}\'></div>'
    )
    return frame.page(thread.state.title or "Thread", body, "thread")


def render_part(thread: WatchedThread, name: str) -> str:
    """Return the contents of a part of the page by its name in state.PARTS."""
    return RENDERERS[name](thread)


def older_link(thread: WatchedThread, before: int | None = None) -> str:
    """Return the button that loads the messages before those that are shown; "" if there are none."""
    blocks = thread.timeline.blocks
    first = before if before is not None else next((block.number for block in thread.timeline.latest(SHOWN)), 0)
    left = sum(block.number < first for block in blocks)
    if not left:
        return ""
    url = f"/t/{thread.thread_id}/older?before={first}"
    return f'<button class="quiet" hx-get="{url}" hx-swap="none">{plural(left, "earlier message")}</button>'


def _side(url: str, part: Mapping[str, str]) -> str:
    panels = "".join(
        f'<details class="panel" hx-get="{url}/panel/{name}" hx-trigger="toggle, renew" hx-target="find .panel-body">'
        f'<summary>{title}</summary><div class="panel-body" aria-live="polite"></div></details>'
        for name, title in PANELS.items()
    )
    return (
        '<aside id="about" aria-label="About this thread"><details class="side" open><summary>Details</summary>'
        f'<div id="cost">{part["cost"]}</div><div id="plan">{part["plan"]}</div>{panels}</details></aside>'
    )


def _composer(url: str) -> str:
    fields = (
        hidden(do="say") + '<label class="visually-hidden" for="say">Message to ml-intern</label>'
        '<textarea id="say" name="text" rows="1" required data-grow data-enter placeholder="Message ml-intern" '
        'enterkeyhint="send"></textarea>' + button("Send", "primary")
    )
    return post(f"{url}/do", fields, "Message", "composer")


def _title(thread: WatchedThread) -> str:
    return safe(thread.state.title or "Untitled thread")


def _status(thread: WatchedThread) -> str:
    state, url = thread.state, f"/t/{thread.thread_id}/do"
    if state.is_lost:
        resume = post(url, hidden(do="continue") + button("Continue", "primary small"))
        return f'{badge("lost")}<span class="why">The process that ran this thread has ended.</span>{resume}'
    shown = badge(state.status)
    if state.status == "running":
        return shown + post(url, hidden(do="interrupt") + button("Stop", "small", title="Interrupt the turn"))
    if state.status == "interrupted" and not state.runner:
        return shown + post(url, hidden(do="continue") + button("Continue", "small"))
    return shown


def _question(thread: WatchedThread) -> str:
    state = thread.state
    if state.question is not None:
        return question_html(state.question, f"/t/{thread.thread_id}/do", state.folder)
    return answered_html(state.answered) if state.answered is not None else ""


def _queue(thread: WatchedThread) -> str:
    messages, url = thread.state.queue["messages"], f"/t/{thread.thread_id}/do"
    if not messages:
        return ""
    state = "paused; send or steer a message to continue" if thread.state.queue["paused"] else "sent in order"
    items = "".join(_queued(message, url, steers=thread.state.status == "running") for message in messages)
    head = f'<h2 class="role">Queued, {state}</h2>'
    return f'<section class="queue" aria-label="Queued messages">{head}<ul>{items}</ul></section>'


def _queued(message: Mapping[str, str], url: str, *, steers: bool) -> str:
    now = button("Send now", "small", name="do", value="steer", title="Add it to the running turn") if steers else ""
    id = hidden(id=message["id"])
    form = post(url, id + hidden(do="edit_queued") + _text_of(message) + button("Save", "small"))
    actions = post(url, id + now + button("Remove", "small quiet", name="do", value="unqueue"))
    edit = f"<details><summary>Edit</summary>{form}</details>"
    return f'<li><p class="plain">{safe(message["text"])}</p><div class="actions">{actions}{edit}</div></li>'


def _text_of(message: Mapping[str, str]) -> str:
    return f'<textarea name="text" rows="2" aria-label="Message" data-grow>{safe(message["text"])}</textarea>'


def _plan(thread: WatchedThread) -> str:
    steps = thread.state.plan
    return f'<h2 class="role">Plan</h2>{checklist(steps)}' if steps else ""


def _cost(thread: WatchedThread) -> str:
    state = thread.state
    known = "" if state.cost_usd is None else spent(state.cost_usd, state.unpriced)
    pairs = (("Cost", known), ("Model", state.model), ("Mode", state.mode), ("Folder", state.folder))
    return definitions(pairs)


def _notices(thread: WatchedThread) -> str:
    return "".join(f'<p class="notice {one["kind"]}">{safe(one["text"])}</p>' for one in thread.state.notices)


RENDERERS: Mapping[str, Callable[[WatchedThread], str]] = {
    "title": _title,
    "status": _status,
    "question": _question,
    "queue": _queue,
    "plan": _plan,
    "cost": _cost,
    "notices": _notices,
    "older": older_link,
}
