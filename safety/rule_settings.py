"""Reading rules from settings: strings and objects, checked with their own examples before they are used."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml_intern.configs.errors import ConfigurationError
from ml_intern.safety.rules import EFFECTS, Effect, Rule, Rules, RuleTarget
from ml_intern.safety.shell.analysis import examine
from ml_intern.safety.shell.paths import Place

_SHORT = re.compile(r"([\w*?.-]+)(?:\((.*)\))?\Z", re.DOTALL)
_EXAMPLE_PLACE = Place("/workspace", home="/home/user")
SHELL_TOOL = "bash"


class WrittenRule(BaseModel):
    """A rule as a settings file holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = "*"
    args: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    path: str = ""
    destination: str = ""
    price_over_usd: Annotated[float, Field(ge=0)] | None = None
    why: str = ""
    matches: tuple[str, ...] = ()
    """Examples it must match: commands, paths or destinations, as the rule is about."""
    not_matches: tuple[str, ...] = ()


def parse_rules(permissions: Mapping[str, Sequence[object]], source: str) -> Rules:
    """Rules from the settings' `permissions` object: {"allow": [...], "ask": [...], "deny": [...]}.

    A rule is an object (see WrittenRule) or a string: "read", "bash(git push)", "write(src/**)". `source` names the
    file in errors. Raises ConfigurationError for an unknown key, a bad pattern, or an example that does not hold.
    """
    if unknown := set(permissions) - set(EFFECTS):
        raise ConfigurationError(f"{source}: permissions has no {sorted(unknown)[0]!r}", "use allow, ask or deny")
    rules = tuple(
        _parse_one(effect, written, f"{source}: permissions.{effect}[{index}]")
        for effect in EFFECTS
        for index, written in enumerate(permissions.get(effect, ()))
    )
    return Rules(rules, tuple(_oddities(rules)))


def _parse_one(effect: Effect, written: object, where: str) -> Rule:
    try:
        given = _from_string(written) if isinstance(written, str) else WrittenRule.model_validate(written)
        rule = _rule(effect, given)
    except (ValidationError, ValueError, re.error) as error:
        raise ConfigurationError(
            f"{where} is no rule: {_first_line(error)}", "see /permissions for the form"
        ) from error
    for example in given.matches:
        if not rule.matches(_subject(rule, example)):
            raise ConfigurationError(f"{where} does not match its example {example!r}", "mend the rule or the example")
    for example in given.not_matches:
        if rule.matches(_subject(rule, example)):
            raise ConfigurationError(f"{where} matches {example!r}, which it must not", "mend the rule or the example")
    return rule


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).splitlines()[0]


def _from_string(text: str) -> WrittenRule:
    short = _SHORT.match(text.strip())
    if short is None:
        raise ValueError(f"{text!r} is neither a tool nor tool(...)")
    tool, inner = short.group(1), short.group(2) or ""
    if tool == SHELL_TOOL:
        return WrittenRule(tool=tool, command=re.sub(r"(?::| )\*\Z", "", inner))
    return WrittenRule(tool=tool, path=inner)


def _rule(effect: Effect, given: WrittenRule) -> Rule:
    for pattern in given.args.values():
        re.compile(pattern)
    prefix = tuple(shlex.split(given.command))
    if effect == "allow" and prefix and prefix[0] in {"*", "**"}:
        raise ValueError("a prefix that allows every command is mode yolo, not a rule")
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


def _subject(rule: Rule, example: str) -> RuleTarget:
    """The call that an example stands for."""
    place = _EXAMPLE_PLACE
    tool = "example" if rule.tool == "*" else rule.tool.replace("*", "x").replace("?", "x")
    args = {name: example for name, _ in rule.args}
    if rule.prefix:
        found = examine(example, place)
        given = {"command": example, **args}
        subject = RuleTarget(tool, given, found.started, found.plain, found.reading)
        return replace(subject, workspace=place.workspace, home=place.home)
    paths = (place.absolute(example, place.workspace),) if rule.path else ()
    cost = float(example) if rule.price_over_usd is not None else 0.0
    aims = (example,) if rule.destination else ()
    return RuleTarget(
        tool, args, paths=paths, destinations=aims, cost_usd=cost, workspace=place.workspace, home=place.home
    )


def _oddities(rules: tuple[Rule, ...]) -> list[str]:
    """Rules that can never decide: a stronger one says the same."""
    found: list[str] = []
    for rule in rules:
        stronger = EFFECTS[: EFFECTS.index(rule.effect)]
        twin = next((one for one in rules if one.effect in stronger and _same_matcher(one, rule)), None)
        if twin is not None:
            found.append(f"{rule.effect} {rule.describes} never decides: {twin.effect} says the same")
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
