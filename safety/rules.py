"""Rules of the user: allow, ask or deny by tool, argument, command prefix, path, destination, price. Deny wins.

Reading them from settings, with their examples, is in safety/rule_settings.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Literal

from ml_intern.safety.shell.paths import is_credential, is_project_secret, is_protected_in_workspace, is_within

Effect = Literal["allow", "ask", "deny"]
MCP = "mcp:"
"""What the destination of a tool of an MCP server begins with; the server's name follows."""
EFFECTS: tuple[Effect, ...] = ("deny", "ask", "allow")
"""The strongest first."""


@dataclass(frozen=True)
class RuleTarget:
    """What rules look at: one call, with the facts the caller gathered. Paths are absolute."""

    tool: str
    args: Mapping[str, object] = field(default_factory=dict[str, object])
    commands: tuple[tuple[str, ...], ...] = ()
    """Word lists of every program a shell command starts, nested ones too."""
    plain: tuple[tuple[str, ...], ...] | None = None
    """The same of its top level when the command is plain, else None: then no prefix can allow it."""
    reading: frozenset[tuple[str, ...]] = frozenset()
    """Those of `plain` that only read."""
    paths: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    cost_usd: float | None = 0.0
    """Worst-case price in US dollars; None when it is not known."""
    workspace: str = "/"
    home: str = "/"


@dataclass(frozen=True)
class Rule:
    """One rule. What is left empty matches everything; what is given must all match."""

    effect: Effect
    tool: str = "*"
    args: tuple[tuple[str, str], ...] = ()
    """Argument name and a regular expression searched in it."""
    prefix: tuple[str, ...] = ()
    """The first words of a command; each may hold * patterns."""
    path: str = ""
    """Pattern: ** crosses folders; relative to the workspace unless it begins with / or ~."""
    destination: str = ""
    price_over_usd: float | None = None
    ordinary: bool = False
    """Only calls that send nothing to anyone but an MCP server and cost nothing, and all of whose paths are ordinary
    files of the workspace: not hidden, no secrets, nothing that other programs obey."""
    why: str = ""

    @property
    def describes(self) -> str:
        """The rule in a few words."""
        parts = [self.tool, " ".join(self.prefix), self.path, self.destination, *(f"{n}~{p}" for n, p in self.args)]
        price = [] if self.price_over_usd is None else [f"over {self.price_over_usd:g} USD"]
        return " ".join(part for part in [*parts, *price] if part and part != "*") or "everything"

    def matches(self, subject: RuleTarget) -> bool:
        """Tell whether the rule speaks about this call."""
        return (
            _fits(subject.tool, self.tool)
            and all(_searched(pattern, subject.args.get(name)) for name, pattern in self.args)
            and self._matches_commands(subject)
            and self._matches_paths(subject)
            and self.speaks_of(subject)
            and (not self.destination or any(_fits(one, self.destination) for one in subject.destinations))
            and (self.price_over_usd is None or subject.cost_usd is None or subject.cost_usd > self.price_over_usd)
        )

    def speaks_of(self, subject: RuleTarget) -> bool:
        """Tell whether an `ordinary` rule speaks about where the call leads; every other rule does."""
        return not self.ordinary or (
            subject.cost_usd == 0
            and all(place.startswith(MCP) for place in subject.destinations)
            and all(_is_ordinary(path, subject.workspace) for path in subject.paths)
        )

    def covers(self, command: tuple[str, ...]) -> bool:
        """Tell whether a command begins with the rule's prefix."""
        return len(command) >= len(self.prefix) and all(map(_fits, command, self.prefix))

    def _matches_commands(self, subject: RuleTarget) -> bool:
        if not self.prefix:
            return True
        if self.effect == "allow":
            return bool(subject.plain) and all(
                self.covers(one) or one in subject.reading for one in subject.plain or ()
            )
        return any(self.covers(one) for one in subject.commands)

    def _matches_paths(self, subject: RuleTarget) -> bool:
        if not self.path:
            return True
        pattern = path_pattern(self.path, subject.workspace, subject.home)
        found = [pattern.fullmatch(path) is not None for path in subject.paths]
        return bool(found) and (all(found) if self.effect == "allow" else any(found))


def _fits(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern) if _has_wildcards(pattern) else text == pattern


@lru_cache(maxsize=1024)
def _has_wildcards(pattern: str) -> bool:
    return not {"*", "?", "["}.isdisjoint(pattern)


def _is_ordinary(path: str, workspace: str) -> bool:
    return is_within(path, workspace) and not (
        is_protected_in_workspace(path, workspace) or is_project_secret(path) or is_credential(path)
    )


def _searched(pattern: str, value: object) -> bool:
    return value is not None and _compiled(pattern).search(value if isinstance(value, str) else repr(value)) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=512)
def path_pattern(pattern: str, workspace: str, home: str) -> re.Pattern[str]:
    """A path pattern as a regular expression over absolute paths; `dir/**` matches `dir` too."""
    if pattern.startswith("~"):
        pattern = home + pattern[1:]
    elif not pattern.startswith("/"):
        pattern = f"{workspace.rstrip('/')}/{pattern.removeprefix('./')}"
    parts = re.split(r"(/\*\*(?=/|\Z)|\*\*|\*|\?)", pattern)
    meanings = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in parts), re.DOTALL)


@dataclass(frozen=True)
class Rules:
    """All rules in force, in any order."""

    rules: tuple[Rule, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is odd about them: rules that can never decide anything."""

    def decide(self, subject: RuleTarget) -> Rule | None:
        """The strongest rule that matches, or None."""
        for effect in EFFECTS:
            found = next((rule for rule in self._by_effect[effect] if rule.matches(subject)), None)
            if found is not None:
                return found
        return self._allowed_together(subject)

    def joined(self, other: "Rules") -> "Rules":
        """Both sets of rules."""
        return Rules((*self.rules, *other.rules), (*self.warnings, *other.warnings))

    @cached_property
    def _by_effect(self) -> dict[Effect, tuple[Rule, ...]]:
        return {effect: tuple(rule for rule in self.rules if rule.effect == effect) for effect in EFFECTS}

    def _allowed_together(self, subject: RuleTarget) -> Rule | None:
        """Each sub-command of a plain command may be allowed by a rule of its own."""
        prefixed = [
            rule for rule in self._by_effect["allow"]
            if rule.prefix and not rule.path and not rule.args and _fits(subject.tool, rule.tool)
            and rule.speaks_of(subject)
        ]  # fmt: skip
        last: Rule | None = None
        for command in subject.plain or ():
            if command not in subject.reading:
                last = next((rule for rule in prefixed if rule.covers(command)), None)
                if last is None:
                    return None
        return last


NO_RULES = Rules()
