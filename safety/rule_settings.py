"""Parsing of rules from settings, as strings or objects, including the check of their examples."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml_intern.configs.errors import ConfigurationError
from ml_intern.safety.rules import EFFECTS, SHELL_TOOL, Effect, Rule, Rules, RuleTarget
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.paths import CommandContext

_SHORT = re.compile(r"([\w*?.-]+)(?:\((.*)\))?\Z", re.DOTALL)
_EXAMPLE_CONTEXT = CommandContext("/workspace", home="/home/user")


class RuleSettings(BaseModel):
    """A rule as written in a settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = "*"
    args: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    path: str = ""
    destination: str = ""
    price_over_usd: Annotated[float, Field(ge=0)] | None = None
    why: str = ""
    matches: tuple[str, ...] = ()
    """Examples that the rule must match: commands, paths or destinations, depending on the rule."""
    not_matches: tuple[str, ...] = ()


def parse_rules(permissions: Mapping[str, Sequence[object]], source: str) -> Rules:
    """Return the rules of the settings' `permissions` object: {"allow": [...], "ask": [...], "deny": [...]}.

    A rule is an object (see WrittenRule) or a string: "read", "bash(git push)", "write(src/**)". `source` names the
    file in errors. Raises ConfigurationError for an unknown key, an invalid pattern, or a failing example.
    """
    if unknown := set(permissions) - set(EFFECTS):
        raise ConfigurationError(
            f"{source}: unknown key {sorted(unknown)[0]!r} in permissions", "use allow, ask or deny"
        )
    rules = tuple(
        _parse_one(effect, written, f"{source}: permissions.{effect}[{index}]")
        for effect in EFFECTS
        for index, written in enumerate(permissions.get(effect, ()))
    )
    return Rules(rules, tuple(_find_unused(rules)))


def _parse_one(effect: Effect, written: object, where: str) -> Rule:
    try:
        given = _from_string(written) if isinstance(written, str) else RuleSettings.model_validate(written)
        rule = _rule(effect, given)
    except (ValidationError, ValueError, re.error) as error:
        raise ConfigurationError(
            f"{where} is not a valid rule: {_first_line(error)}", "use TOOL, TOOL(PATTERN) or an object"
        ) from error
    for example in given.matches:
        if not rule.matches(_target(rule, example)):
            raise ConfigurationError(f"{where} does not match its example {example!r}", "fix the rule or the example")
    for example in given.not_matches:
        if rule.matches(_target(rule, example)):
            raise ConfigurationError(
                f"{where} matches {example!r}, which its not_matches lists", "fix the rule or the example"
            )
    return rule


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).splitlines()[0]


def _from_string(text: str) -> RuleSettings:
    short = _SHORT.match(text.strip())
    if short is None:
        raise ValueError(f"{text!r} is not of the form TOOL or TOOL(PATTERN)")
    tool, inner = short.group(1), short.group(2) or ""
    if tool == SHELL_TOOL:
        return RuleSettings(tool=tool, command=re.sub(r"(?::| )\*\Z", "", inner))
    return RuleSettings(tool=tool, path=inner)


def _rule(effect: Effect, given: RuleSettings) -> Rule:
    for pattern in given.args.values():
        re.compile(pattern)
    prefix = tuple(shlex.split(given.command))
    if effect == "allow" and prefix and prefix[0] in {"*", "**"}:
        raise ValueError("a rule cannot allow every command; use approval mode yolo instead")
    return Rule(
        effect,
        tool=SHELL_TOOL if prefix and given.tool == "*" else given.tool,
        args=tuple(given.args.items()),
        prefix=prefix,
        path=given.path,
        destination=given.destination,
        price_over_usd=given.price_over_usd,
        why=given.why,
    )


def _target(rule: Rule, example: str) -> RuleTarget:
    """Return the call that an example describes."""
    context = _EXAMPLE_CONTEXT
    tool = "example" if rule.tool == "*" else rule.tool.replace("*", "x").replace("?", "x")
    args = {name: example for name, _ in rule.args}
    if rule.prefix:
        found = analyze_command(example, context)
        given = {"command": example, **args}
        target = RuleTarget(tool, given, found.programs, found.plain, found.reading)
        return replace(target, workspace=context.workspace, home=context.home)
    paths = (context.absolute(example, context.workspace),) if rule.path else ()
    cost = float(example) if rule.price_over_usd is not None else 0.0
    destinations = (example,) if rule.destination else ()
    return RuleTarget(
        tool,
        args,
        paths=paths,
        destinations=destinations,
        cost_usd=cost,
        workspace=context.workspace,
        home=context.home,
    )


def _find_unused(rules: tuple[Rule, ...]) -> list[str]:
    """Return warnings about rules that a stronger rule makes ineffective."""
    found: list[str] = []
    for rule in rules:
        stronger = EFFECTS[: EFFECTS.index(rule.effect)]
        twin = next((one for one in rules if one.effect in stronger and _same_matcher(one, rule)), None)
        if twin is not None:
            found.append(f"{rule.effect} {rule.description} has no effect: a {twin.effect} rule matches the same calls")
    return found


def _same_matcher(one: Rule, other: Rule) -> bool:
    return (one.tool, one.args, one.prefix, one.path, one.destination, one.price_over_usd) == (
        other.tool,
        other.args,
        other.prefix,
        other.path,
        other.destination,
        other.price_over_usd,
    )
