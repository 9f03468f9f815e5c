"""The verdict on a call: allow, ask or deny, with the reason. Pure: the caller gathers the facts."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ml_intern.graph.context import ApprovalMode
from ml_intern.safety.rules import EFFECTS, MCP, NO_RULES, Rule, Rules, RuleTarget
from ml_intern.safety.shell.analysis import Examined, examine
from ml_intern.safety.shell.credentials import command_paths
from ml_intern.safety.shell.outward import destinations, is_private, outward_reason
from ml_intern.safety.shell.paths import Place, is_credential, is_own_home, is_project_secret, lexical, no_files

VerdictKind = Literal["allow", "ask", "deny"]

PLAN_TOOL = "plan"
SHELL_TOOL = "bash"
JOBS_TOOL = "jobs"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_REMOTES = {"origin": re.compile(r"(?i)\bpush"), "hf jobs": re.compile(r"(?i)\bjob")}
"""Where the checkout came from, and jobs of the token's owner: named by such a word, or while no text is outside's."""


@dataclass(frozen=True)
class PolicyContext:
    """What the caller knows about a call before it runs."""

    mode: ApprovalMode = "ask"
    read_only: bool = False
    """The tool's own word that it changes nothing."""
    child: bool = False
    """The caller is a sub-agent, which has nobody to ask."""
    sandboxed: bool = False
    """Local commands run inside the OS sandbox."""
    taint: tuple[str, ...] = ()
    """Outside sources whose text is in the context."""
    workspace: str = ""
    """Absolute, resolved path of the working folder."""
    home: str = ""
    """Absolute, resolved path of the user's home folder."""
    paths: tuple[str, ...] = ()
    """Absolute, resolved paths the call touches; for the shell, the folder it runs in."""
    add_dirs: tuple[str, ...] = ()
    """Further folders the tools may touch."""
    own_homes: tuple[str, ...] = ()
    """ml-intern's data, settings and cache folders."""
    resolve: Callable[[str], str] = lexical
    """Follows links (os.path.realpath); by default no file is looked at."""
    match: Callable[[str], tuple[str, ...]] = no_files
    """The files a pattern stands for (glob.glob); by default none is known."""
    rules: Rules = NO_RULES
    destinations: tuple[str, ...] = ()
    """Where the call sends something: repository ids, hosts. The shell's are found in its command."""
    public: bool = False
    """What it sends there anybody can see."""
    irreversible: bool = False
    """What it does there cannot be taken back."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that the call is given."""
    unknown: str = ""
    """Why it could not be found out what the call would reach."""
    refused: str = ""
    """Why the tool itself does not do it, whoever allows it."""
    changed: str = ""
    """What is other about the tool than when it was allowed: then no rule's or person's earlier yes holds."""
    user_text: str = ""
    """What the user wrote in this thread: a destination found in it was named by the user."""
    owner: str = ""
    """Namespace of the token's owner."""
    cost_usd: float | None = 0.0
    """Worst-case price of the call; None when it is not known."""
    budget_left_usd: float = math.inf


@dataclass(frozen=True)
class Verdict:
    """What is to happen with a call, and why: one clause a person and a model can read."""

    kind: VerdictKind
    why: str


def verdict(tool: str, args: Mapping[str, object], facts: PolicyContext) -> Verdict:
    """Decide about the call of `tool` with `args`. A sub-agent's `ask` is a `deny` that says so."""
    examined = _examined(tool, args, facts)
    subject = _subject(tool, args, facts, examined)
    decided = (
        _always_denied(facts, examined)
        or _by_rule(_rule(subject, facts, examined), facts)
        or _by_secrets(facts)
        or _by_reading(subject, facts, examined)
        or _by_mode(subject, facts, examined)
    )
    if decided.kind == "allow" and facts.changed:
        decided = _anew(decided, facts)
    if decided.kind == "ask" and facts.child:
        return Verdict("deny", f"{decided.why}; a sub-agent has nobody to ask")
    return decided


def _anew(allowed: Verdict, facts: PolicyContext) -> Verdict:
    """A tool that became another one is asked about; where nobody is asked it is refused, but under yolo."""
    if facts.mode == "yolo":
        return allowed
    return Verdict("ask" if facts.mode == "ask" else "deny", facts.changed)


def place_of(facts: PolicyContext) -> Place:
    """Where a command of the shell would run."""
    return Place(
        facts.workspace or "/",
        home=facts.home or "/nonexistent-home",
        cwd=facts.paths[0] if facts.paths else "",
        add_dirs=facts.add_dirs,
        own_homes=facts.own_homes,
        resolve=facts.resolve,
        match=facts.match,
    )


def _examined(tool: str, args: Mapping[str, object], facts: PolicyContext) -> Examined | None:
    command = args.get("command")
    here = tool == SHELL_TOOL or (tool == JOBS_TOOL and args.get("backend", "local") == "local")
    if not here or not isinstance(command, str) or not command:
        return None
    return examine(command, place_of(facts), sandboxed=facts.sandboxed)


def _subject(tool: str, args: Mapping[str, object], facts: PolicyContext, examined: Examined | None) -> RuleTarget:
    scene = examined.scene if examined else None
    return RuleTarget(
        tool,
        args,
        commands=examined.started if examined else (),
        plain=examined.plain if examined else None,
        reading=examined.reading if examined else frozenset(),
        paths=(*facts.paths, *(command_paths(scene) if scene else ())) if facts.rules.rules else facts.paths,
        destinations=(*facts.destinations, *(destinations(scene) if scene else ())),
        cost_usd=facts.cost_usd,
        workspace=facts.workspace or "/",
        home=facts.home or "/",
    )


def _always_denied(facts: PolicyContext, examined: Examined | None) -> Verdict | None:
    """The few things that hold in every mode, yolo too."""
    if facts.refused:
        return Verdict("deny", facts.refused)
    if examined and examined.risk.kind == "deny":
        return Verdict("deny", f"refused in every mode: {examined.risk.why}")
    if credential := next((path for path in facts.paths if is_credential(path)), ""):
        return Verdict("deny", f"refused in every mode: {credential} holds credentials")
    if own := next((path for path in facts.paths if is_own_home(path, facts.home, facts.own_homes)), ""):
        return Verdict("deny", f"refused in every mode: {own} belongs to ml-intern itself")
    return None


def _rule(subject: RuleTarget, facts: PolicyContext, examined: Examined | None) -> Rule | None:
    """The rule for a call. What is said of the shell's commands holds for those that run in the background too."""
    names = (subject.tool, SHELL_TOOL) if examined else (subject.tool,)
    found = [rule for name in names if (rule := facts.rules.decide(replace(subject, tool=name)))]
    return min(found, key=lambda rule: EFFECTS.index(rule.effect), default=None)


def _by_rule(rule: Rule | None, facts: PolicyContext) -> Verdict | None:
    """Deny holds everywhere, ask where somebody is asked. Allow lifts the question, not in plan mode or for secrets."""
    if rule is None:
        return None
    why = f"the rule {rule.effect} {rule.describes}" + (f": {rule.why}" if rule.why else "")
    if rule.effect == "deny" or (rule.effect == "ask" and facts.mode == "ask"):
        return Verdict(rule.effect, why)
    lifts = rule.effect == "allow" and facts.mode != "plan" and not facts.secrets
    return Verdict("allow", why) if lifts else None


def _by_secrets(facts: PolicyContext) -> Verdict | None:
    """Who gets a secret is always asked about; where nobody is asked the user has to have named it.

    What runs in the token owner's own namespace may have their token without that.
    """
    if not facts.secrets or facts.mode == "yolo":
        return None
    why = f"it would be given {', '.join(facts.secrets)}"
    if facts.mode == "ask":
        return Verdict("ask", why + _price(facts))
    own = "HF_TOKEN" if facts.destinations and all(_is_own(place, facts) for place in facts.destinations) else ""
    unnamed = next((name for name in facts.secrets if name not in facts.user_text and name != own), "")
    return Verdict("deny", f"{why}; ask the user to name {unnamed}") if unnamed else None


def _by_reading(subject: RuleTarget, facts: PolicyContext, examined: Examined | None) -> Verdict | None:
    """What only reads runs in every mode. Project secrets are asked about where somebody can be asked."""
    if examined and examined.risk.kind == "auto" and (facts.mode != "plan" or _only_reads(examined)):
        return Verdict("allow", examined.risk.why)
    if facts.mode == "ask" and (secret := next((path for path in facts.paths if is_project_secret(path)), "")):
        return Verdict("ask", f"{secret} usually holds secrets")
    return Verdict("allow", f"{subject.tool} only reads") if facts.read_only else None


def _only_reads(examined: Examined) -> bool:
    return examined.plain is not None and set(examined.plain) <= examined.reading


def _by_mode(subject: RuleTarget, facts: PolicyContext, examined: Examined | None) -> Verdict:
    if subject.tool == PLAN_TOOL:
        return Verdict("allow", "planning changes nothing")
    if facts.mode == "plan":
        return Verdict("deny", f"{subject.tool} can change things; plan mode only reads until the plan is accepted")
    if facts.mode == "ask":
        return Verdict("ask", examined.risk.why if examined else _outcome(subject, facts) + _price(facts))
    if facts.mode == "auto" and (against := _against_auto(subject, facts, examined)):
        return Verdict("deny", against)
    return Verdict("allow", f"mode {facts.mode}")


def _against_auto(subject: RuleTarget, facts: PolicyContext, examined: Examined | None) -> str:
    """What nobody may decide while nobody is asked: money over the cap, places the user did not name."""
    if facts.cost_usd is not None and facts.cost_usd > facts.budget_left_usd:
        return f"it may cost {facts.cost_usd:.2f} USD and {facts.budget_left_usd:.2f} are left; ask for a larger budget"
    scene = examined.scene if examined else None
    is_public = facts.public or facts.irreversible or (scene is not None and not is_private(scene))
    foreign = [place for place in subject.destinations if not _is_named(place, facts, is_public=is_public)]
    if not foreign:
        return ""
    if facts.unknown:
        return f"it is not known what {subject.tool} would reach: {facts.unknown}"
    what = f"{outward_reason(scene)} would send to {foreign[0]}" if scene else _outcome(subject, facts, foreign[0])
    tainted = f", and text from {facts.taint[0]} is in the context" if facts.taint else ""
    instead = "keep it private, or " if facts.public and _is_own(foreign[0], facts) else ""
    return f"{what}, which the user did not name{tainted}; {instead}ask the user to name it"


def _price(facts: PolicyContext) -> str:
    if facts.cost_usd is None:
        return ", at a price that is not known"
    return f", for at most {facts.cost_usd:.2f} USD" if facts.cost_usd else ""


def _outcome(subject: RuleTarget, facts: PolicyContext, destination: str = "") -> str:
    """What the call of a tool would do, as far as it is known."""
    if facts.changed:
        return facts.changed
    if not subject.destinations or facts.unknown:
        return f"{subject.tool} can change things"
    if subject.destinations[0].startswith(MCP):
        return f"{subject.tool} is a tool of the MCP server {subject.destinations[0].removeprefix(MCP)}"
    reached = destination or ", ".join(subject.destinations)
    public = ", for anybody to see" if facts.public else ""
    return f"{subject.tool} would {'delete or move' if facts.irreversible else 'write to'} {reached}{public}"


def _is_named(destination: str, facts: PolicyContext, *, is_public: bool) -> bool:
    """The user wrote it, it is this machine, or it is the token owner's own and private."""
    said = facts.user_text.lower()
    if destination in _LOCAL or (destination != "unknown" and destination.lower() in said):
        return True
    if destination.startswith(MCP):  # the settings name it; what it said itself goes back to where it came from
        server = destination.removeprefix(MCP).lower()
        return f"mcp server {server}" in said or all(source == destination for source in facts.taint)
    if word := _OWN_REMOTES.get(destination):
        return not facts.taint or word.search(facts.user_text) is not None
    return _is_own(destination, facts) and not is_public


def _is_own(destination: str, facts: PolicyContext) -> bool:
    return bool(facts.owner) and destination.lower().startswith(f"{facts.owner.lower()}/")
