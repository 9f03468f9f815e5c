"""/permissions: show the permission rules, test a command, remove a saved answer."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_intern.session.protocol import PermissionInfo, PermissionRow
    from ml_intern.terminal.slash.host import Host


def rule_lines(info: "PermissionInfo") -> Iterator[str]:
    """Yield one line per rule of the settings, then one per warning about them."""
    for rule in info.rules:
        yield f"{rule.effect:6}{rule.about}{f' ({rule.why})' if rule.why else ''}"
    yield from (f"note: {warning}" for warning in info.warnings)


def answer_line(row: "PermissionRow") -> str:
    """Describe a saved "always" answer: its number, what it allows, and where it applies."""
    where = f"in thread {row.thread_id[:8]}" if row.thread_id else "always"
    allowed = f"{row.grant.words} ..." if row.grant.prefix else f"every {row.grant.words}"
    return f"{row.id:<6}{allowed}  ({where}, in {row.folder or 'every folder'})"


async def permissions(host: "Host", argument: str) -> None:
    """Show the rules in force, test a command, or remove a saved answer."""
    word, _, rest = argument.partition(" ")
    if word == "test" and rest.strip():
        await _test(host, rest.strip())
    elif word == "remove" and rest.strip().isdecimal():
        removed = await host.session.remove_permission(int(rest))
        host.screen.line(f"removed answer {rest.strip()}" if removed else f"no answer {rest.strip()}", "dim")
    elif argument:
        host.screen.line("usage: /permissions [test COMMAND|remove N]", "failure")
    else:
        await _show(host)


async def _show(host: "Host") -> None:
    info = await host.session.permissions()
    rules = list(rule_lines(info))
    host.screen.line(f"approval: {host.options.approval_mode}; deny beats ask, and ask beats allow", "dim")
    for line in rules or ["no rules in the settings"]:
        host.screen.line(line)
    for row in info.answers:
        host.screen.line(answer_line(row))
    if info.answers:
        host.screen.line("/permissions remove N removes a saved answer", "dim")


async def _test(host: "Host", command: str) -> None:
    verdict = await host.session.judge(command)
    host.screen.line(f"{verdict.kind}: {verdict.why}")
