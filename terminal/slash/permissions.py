"""The rules in force as lines of text, and /permissions, which shows, tests and forgets them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_intern.safety.rules import Rules
    from ml_intern.store.permissions import PermissionRow
    from ml_intern.terminal.slash.host import Host


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


async def permissions(host: "Host", argument: str) -> None:
    """Show the rules in force, judge a command by them, or forget an answer."""
    word, _, rest = argument.partition(" ")
    if word == "test" and rest.strip():
        await _test(host, rest.strip())
    elif word == "remove" and rest.strip().isdecimal():
        gone = await host.session.services.store.permissions.remove(int(rest))
        host.screen.line(f"answer {rest.strip()} is forgotten" if gone else f"there is no answer {rest.strip()}", "dim")
    elif argument:
        host.screen.line("write /permissions, /permissions test COMMAND or /permissions remove NUMBER", "red")
    else:
        await _show(host)


async def _show(host: "Host") -> None:
    from ml_intern.execution.policy_inputs import settings_rules

    stored = host.session.services.store.permissions
    answers: Sequence[PermissionRow] = await stored.in_force(host.options.workspace, host.session.thread_id)
    rules = list(rule_lines(settings_rules(host.options.permissions)))
    host.screen.line(f"approval: {host.options.approval_mode}; deny beats ask beats allow", "dim")
    for line in rules or ["no rules in the settings"]:
        host.screen.line(line)
    for row in answers:
        host.screen.line(answer_line(row))
    if answers:
        host.screen.line("/permissions remove NUMBER forgets one", "dim")


async def _test(host: "Host", command: str) -> None:
    from ml_intern.execution.calls import judge_command

    said = await judge_command(command, host.session.thread_id, host.options, host.session.services)
    host.screen.line(f"{said.kind}: {said.why}")
