"""The user's rules: allow, ask or deny by tool, argument, command prefix, path, destination or price. Deny wins.

safety/rule_settings.py parses them from settings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Literal

from ml_intern.safety.files.protected import Place, find_control
from ml_intern.safety.shell.paths import is_credential, is_project_secret, is_within

Effect = Literal["allow", "ask", "deny"]
MCP = "mcp:"
"""Prefix of the destinations of MCP tools; the server's name follows."""
SHELL_TOOL = "bash"
EFFECTS: tuple[Effect, ...] = ("deny", "ask", "allow")
"""Strongest first."""


@dataclass(frozen=True)
class RuleTarget:
    """One call with the properties that rules can match. Paths are absolute."""

    tool: str
    args: Mapping[str, object] = field(default_factory=dict[str, object])
    commands: tuple[tuple[str, ...], ...] = ()
    """Word lists of all programs that a shell command starts, including nested ones."""
    plain: tuple[tuple[str, ...], ...] | None = None
    """Word lists of the top level of a plain command, else None. Prefixes can allow only plain commands."""
    reading: frozenset[tuple[str, ...]] = frozenset()
    """The read-only commands among `plain`."""
    paths: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    cost_usd: float | None = 0.0
    """The highest possible cost in US dollars; None if unknown."""
    workspace: str = "/"
    home: str = "/"


@dataclass(frozen=True)
class Rule:
    """A rule. All given conditions must match; empty ones match everything."""

    effect: Effect
    tool: str = "*"
    args: tuple[tuple[str, str], ...] = ()
    """Names of arguments with regular expressions to search in them."""
    prefix: tuple[str, ...] = ()
    """The first words of a command; each may contain wildcards."""
    path: str = ""
    """A pattern in which ** matches across folders; relative to the workspace unless it begins with / or ~."""
    destination: str = ""
    price_over_usd: float | None = None
    ordinary: bool = False
    """Match only free calls that send data to nothing but MCP servers and whose paths are ordinary workspace files: not
    hidden, without secrets, not controlling other programs."""
    why: str = ""

    @property
    def description(self) -> str:
        """Return a short description of the rule."""
        parts = [self.tool, " ".join(self.prefix), self.path, self.destination, *(f"{n}~{p}" for n, p in self.args)]
        price = [] if self.price_over_usd is None else [f"over {self.price_over_usd:g} USD"]
        return " ".join(part for part in [*parts, *price] if part and part != "*") or "everything"

    def matches(self, target: RuleTarget) -> bool:
        """Return whether the rule applies to this call."""
        return (
            _matches_wildcard(target.tool, self.tool)
            and all(_matches_regex(pattern, target.args.get(name)) for name, pattern in self.args)
            and self._matches_commands(target)
            and self._matches_paths(target)
            and self.matches_effects(target)
            and (not self.destination or any(_matches_wildcard(one, self.destination) for one in target.destinations))
            and (self.price_over_usd is None or target.cost_usd is None or target.cost_usd > self.price_over_usd)
        )

    def matches_effects(self, target: RuleTarget) -> bool:
        """Return whether the call's effects are within an `ordinary` rule; other rules do not limit effects."""
        return not self.ordinary or (
            target.cost_usd == 0
            and all(one.startswith(MCP) for one in target.destinations)
            and all(_is_ordinary(path, target.workspace) for path in target.paths)
        )

    def matches_prefix(self, command: tuple[str, ...]) -> bool:
        """Return whether a command begins with the rule's prefix."""
        return len(command) >= len(self.prefix) and all(map(_matches_wildcard, command, self.prefix))

    def _matches_commands(self, target: RuleTarget) -> bool:
        if not self.prefix:
            return True
        if self.effect == "allow":
            return bool(target.plain) and all(
                self.matches_prefix(one) or one in target.reading for one in target.plain or ()
            )
        return any(self.matches_prefix(one) for one in target.commands)

    def _matches_paths(self, target: RuleTarget) -> bool:
        if not self.path:
            return True
        pattern = path_pattern(self.path, target.workspace, target.home)
        found = [pattern.fullmatch(path) is not None for path in target.paths]
        return bool(found) and (all(found) if self.effect == "allow" else any(found))


def _matches_wildcard(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern) if _has_wildcards(pattern) else text == pattern


@lru_cache(maxsize=1024)
def _has_wildcards(pattern: str) -> bool:
    return not {"*", "?", "["}.isdisjoint(pattern)


def _is_ordinary(path: str, workspace: str) -> bool:
    return is_within(path, workspace) and not (
        find_control(path, Place(workspace)) or is_project_secret(path) or is_credential(path)
    )


def _matches_regex(pattern: str, value: object) -> bool:
    return value is not None and _compiled(pattern).search(value if isinstance(value, str) else repr(value)) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=512)
def path_pattern(pattern: str, workspace: str, home: str) -> re.Pattern[str]:
    """Translate a path pattern to a regular expression for absolute paths; `dir/**` also matches `dir`."""
    if pattern.startswith("~"):
        pattern = home + pattern[1:]
    elif not pattern.startswith("/"):
        pattern = f"{workspace.rstrip('/')}/{pattern.removeprefix('./')}"
    parts = re.split(r"(/\*\*(?=/|\Z)|\*\*|\*|\?)", pattern)
    meanings = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in parts), re.DOTALL)


@dataclass(frozen=True)
class Rules:
    """All active rules, in any order."""

    rules: tuple[Rule, ...] = ()
    warnings: tuple[str, ...] = ()
    """Warnings about rules without effect."""

    def find_rule(self, target: RuleTarget) -> Rule | None:
        """Return the strongest matching rule, or None."""
        for effect in EFFECTS:
            found = next((rule for rule in self._by_effect[effect] if rule.matches(target)), None)
            if found is not None:
                return found
        return self._allowed_together(target)

    def merged_with(self, other: "Rules") -> "Rules":
        """Return the union of both sets of rules."""
        if not other.rules and not other.warnings:
            return self
        return Rules((*self.rules, *other.rules), (*self.warnings, *other.warnings))

    @cached_property
    def _by_effect(self) -> dict[Effect, tuple[Rule, ...]]:
        return {effect: tuple(rule for rule in self.rules if rule.effect == effect) for effect in EFFECTS}

    def _allowed_together(self, target: RuleTarget) -> Rule | None:
        """Return an allow rule if each sub-command of a plain command is allowed by some rule, else None."""
        prefixed = [
            rule for rule in self._by_effect["allow"]
            if rule.prefix and not rule.path and not rule.args and _matches_wildcard(target.tool, rule.tool)
            and rule.matches_effects(target)
        ]  # fmt: skip
        last: Rule | None = None
        for command in target.plain or ():
            if command not in target.reading:
                last = next((rule for rule in prefixed if rule.matches_prefix(command)), None)
                if last is None:
                    return None
        return last


NO_RULES = Rules()
