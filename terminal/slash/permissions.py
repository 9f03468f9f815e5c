"""The rules in force as lines of text, and /permissions, which shows, tests and forgets them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_intern.safety.rules import Rules
    from ml_intern.store.permissions import PermissionRow
    from ml_intern.terminal.app import App


def rule_lines(rules: "Rules") -> Iterator[str]:
    """A line for each rule of the settings, and for what is odd about them."""
    for rule in rules.rules:
        yield f"{rule.effect:6}{rule.describes}{f' ({rule.why})' if rule.why else ''}"
    yield from (f"note: {warning}" for warning in rules.warnings)


def answer_line(row: "PermissionRow") -> str:
    """An "always" answer: its number, what it allows, and where it holds."""
    where = f"in thread {row.thread_id[:8]}" if row.thread_id else "for good"
    allowed = f"{row.grant.words} ..." if row.grant.prefix else f"every {row.grant.words}"
    return f"{row.id:<6}{allowed}  ({where}, in {row.folder})"


async def permissions(app: "App", argument: str) -> None:
    """Show the rules in force, judge a command by them, or forget an answer."""
    word, _, rest = argument.partition(" ")
    if word == "test" and rest.strip():
        await _test(app, rest.strip())
    elif word == "remove" and rest.strip().isdecimal():
        gone = await app.session.services.store.permissions.remove(int(rest))
        app.screen.line(f"answer {rest.strip()} is forgotten" if gone else f"there is no answer {rest.strip()}", "dim")
    elif argument:
        app.screen.line("write /permissions, /permissions test COMMAND or /permissions remove NUMBER", "red")
    else:
        await _show(app)


async def _show(app: "App") -> None:
    from ml_intern.execution.policy_inputs import written_rules

    stored = app.session.services.store.permissions
    answers: Sequence[PermissionRow] = await stored.in_force(app.options.workspace, app.session.thread_id)
    rules = list(rule_lines(written_rules(app.options.permissions)))
    app.screen.line(f"approval: {app.options.approval_mode}; deny beats ask beats allow", "dim")
    for line in rules or ["no rules in the settings"]:
        app.screen.line(line)
    for row in answers:
        app.screen.line(answer_line(row))
    if answers:
        app.screen.line("/permissions remove NUMBER forgets one", "dim")


async def _test(app: "App", command: str) -> None:
    from ml_intern.execution.calls import judge_command

    said = await judge_command(command, app.session.thread_id, app.options, app.session.services)
    app.screen.line(f"{said.kind}: {said.why}")
