"""The verdict on a call: allow, ask or deny, with the reason. Pure functions; the caller gathers the inputs."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ml_intern.graph.limits import ASKING_MODES, ApprovalMode
from ml_intern.safety.files.facts import NO_FACTS, FileFacts
from ml_intern.safety.files.protected import Control, Place, first_control
from ml_intern.safety.rules import EFFECTS, MCP, NO_RULES, SHELL_TOOL, Effect, Rule, Rules, RuleTarget
from ml_intern.safety.shell.analysis import CommandAnalysis, analyze_command
from ml_intern.safety.shell.credentials import named_paths
from ml_intern.safety.shell.outward import destinations, is_private, outward_reason
from ml_intern.safety.shell.paths import (
    CommandContext,
    is_credential,
    is_own_home,
    is_project_secret,
    match_nothing,
    normalize_path,
)
from ml_intern.text.formatting import money

PLAN_TOOL = "plan"
ACCEPTED_EDITS = Rules(
    tuple(Rule("allow", tool=tool, ordinary=True, why="mode accept-edits") for tool in ("write", "edit"))
)
"""The rules of the mode accept-edits: changes of ordinary files in the workspace. A rule of the user wins."""
MAX_ADDRESS, MAX_QUERY = 250, 100
"""Longest path with query, and longest query, in characters, of an address that the model makes unattended."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_REMOTES = {"origin": re.compile(r"(?i)\bpush"), "hf jobs": re.compile(r"(?i)\bjob")}
"""The checkout's own remote and the token owner's jobs. They are allowed while no outside text is in the context, or if
the user wrote a matching word."""


@dataclass(frozen=True)
class PolicyContext:
    """The policy inputs of a call: its arguments, effects, folder, rules and taint."""

    mode: ApprovalMode = "ask"
    read_only: bool = False
    """The tool declares that it changes nothing."""
    child: bool = False
    """The caller is a sub-agent, which cannot ask the user."""
    sandboxed: bool = False
    """Local commands run inside the OS sandbox."""
    sandbox_missing: bool = False
    """There is no sandbox on this machine, and the user did not decline one."""
    runs_shell: bool = False
    """The call runs its argument `command` on this machine, as the shell tool does."""
    taint: tuple[str, ...] = ()
    """Outside sources whose text is in the context."""
    workspace: str = ""
    """Absolute, resolved path of the working folder."""
    home: str = ""
    """Absolute, resolved path of the user's home folder."""
    paths: tuple[str, ...] = ()
    """Absolute, resolved paths the call touches; for the shell, the folder it runs in."""
    add_dirs: tuple[str, ...] = ()
    """Additional folders that tools may access."""
    own_homes: tuple[str, ...] = ()
    """ml-intern's data, settings and cache folders."""
    resolve: Callable[[str], str] = normalize_path
    """Follows links (os.path.realpath). The default does not access the file system."""
    match: Callable[[str], tuple[str, ...]] = match_nothing
    """Returns the files that match a pattern (glob.glob). The default returns none."""
    files: FileFacts = NO_FACTS
    changed_paths: tuple[str, ...] = ()
    """Absolute paths that a call may change, as written and as resolved. Empty for calls that only read."""
    unresolved: str = ""
    """Why the inputs could not all be collected; "" if they were."""
    rules: Rules = NO_RULES
    destinations: tuple[str, ...] = ()
    """Repository ids and hosts to which the call sends data. For the shell they are found in its command."""
    public: bool = False
    """The data becomes public."""
    irreversible: bool = False
    """The effect at the destination cannot be undone."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that the call receives."""
    unknown: str = ""
    """Why the effects of the call could not be determined; "" if they were."""
    refused: str = ""
    """Why the tool refuses the call even if it is allowed; "" if it does not."""
    changed: str = ""
    """How the tool changed since it was allowed, which invalidates earlier approvals; "" if it did not."""
    user_text: str = ""
    """The user's messages in this thread. Destinations in them count as named by the user."""
    owner: str = ""
    """Namespace of the token's owner."""
    cost_usd: float | None = 0.0
    """The highest possible cost of the call in US dollars; None if unknown."""
    budget_left_usd: float = math.inf

    @property
    def asks(self) -> bool:
        """Return whether a person can be asked about the call."""
        return self.mode in ASKING_MODES


@dataclass(frozen=True)
class Verdict:
    """The decision on a call, and the reason as one clause for the user and the model."""

    kind: Effect
    why: str


def verdict(tool: str, args: Mapping[str, object], context: PolicyContext) -> Verdict:
    """Decide on a call of `tool` with `args`. For a sub-agent, `ask` becomes `deny`."""
    if context.mode == "accept-edits":
        context = replace(context, rules=context.rules.merged_with(ACCEPTED_EDITS))
    analysis = _analyze(tool, args, context)
    control = _control(context, analysis)
    target = _target(tool, args, context, analysis)
    decided = (
        _always_denied(context, analysis, control)
        or _by_rule(_rule(target, context, analysis), context, control)
        or _by_secrets(context)
        or _by_control(context, control)
        or _by_address(args, context)
        or _by_unresolved(context)
        or _by_reading(target, context, analysis)
        or _by_missing_sandbox(target, context, analysis)
        or _by_mode(target, context, analysis)
    )
    if decided.kind == "allow" and context.changed:
        decided = _for_changed_tool(decided, context)
    if decided.kind == "ask" and context.child:
        return Verdict("deny", f"{decided.why}; a sub-agent cannot ask the user")
    return decided


def _for_changed_tool(allowed: Verdict, context: PolicyContext) -> Verdict:
    """Require a new approval of a changed tool. Without a user to ask it is denied, except in mode yolo."""
    if context.mode == "yolo":
        return allowed
    return Verdict("ask" if context.asks else "deny", context.changed)


def command_context(context: PolicyContext) -> CommandContext:
    """Return the context in which a shell command would run."""
    return CommandContext(
        context.workspace or "/",
        home=context.home or "/nonexistent-home",
        cwd=next(iter(context.paths), ""),
        add_dirs=context.add_dirs,
        own_homes=context.own_homes,
        resolve=context.resolve,
        match=context.match,
        files=context.files,
    )


def _control(context: PolicyContext, analysis: CommandAnalysis | None) -> Control | None:
    """Return the strictest of the files that the call would change and that other programs obey."""
    place = Place(context.workspace or "/", context.add_dirs, context.files)
    by_path = first_control(context.changed_paths, place)
    by_command = analysis.controls[0] if analysis and analysis.controls else None
    found = [control for control in (by_path, by_command) if control]
    return min(found, key=lambda control: control.kind != "git", default=None)


def _analyze(tool: str, args: Mapping[str, object], context: PolicyContext) -> CommandAnalysis | None:
    command = args.get("command")
    if not (tool == SHELL_TOOL or context.runs_shell) or not isinstance(command, str) or not command:
        return None
    return analyze_command(command, command_context(context), sandboxed=context.sandboxed)


def _target(
    tool: str, args: Mapping[str, object], context: PolicyContext, analysis: CommandAnalysis | None
) -> RuleTarget:
    parsed = analysis.parsed if analysis else None
    return RuleTarget(
        tool,
        args,
        commands=analysis.programs if analysis else (),
        plain=analysis.plain if analysis else None,
        reading=analysis.reading if analysis else frozenset(),
        paths=(*context.paths, *(named_paths(parsed) if parsed else ())) if context.rules.rules else context.paths,
        destinations=(*context.destinations, *(destinations(parsed) if parsed else ())),
        cost_usd=context.cost_usd,
        workspace=context.workspace or "/",
        home=context.home or "/",
    )


def _always_denied(context: PolicyContext, analysis: CommandAnalysis | None, control: Control | None) -> Verdict | None:
    """Apply the denials of every mode, including yolo."""
    if context.refused:
        return Verdict("deny", context.refused)
    if analysis and analysis.risk.kind == "deny":
        return Verdict("deny", f"refused in every mode: {analysis.risk.why}")
    if control and control.kind == "git":
        return Verdict("deny", f"refused in every mode: it would change {control.reason}")
    if credential := next((path for path in context.paths if is_credential(path)), ""):
        return Verdict("deny", f"refused in every mode: {credential} contains credentials")
    if own := next((path for path in context.paths if is_own_home(path, context.home, context.own_homes)), ""):
        return Verdict("deny", f"refused in every mode: {own} belongs to ml-intern itself")
    return None


def _rule(target: RuleTarget, context: PolicyContext, analysis: CommandAnalysis | None) -> Rule | None:
    """Return the rule for a call. Rules about the shell also apply to background commands."""
    names = (target.tool, SHELL_TOOL) if analysis else (target.tool,)
    found = [rule for name in names if (rule := context.rules.find_rule(replace(target, tool=name)))]
    return min(found, key=lambda rule: EFFECTS.index(rule.effect), default=None)


def _by_rule(rule: Rule | None, context: PolicyContext, control: Control | None) -> Verdict | None:
    """Apply a rule: deny in every mode, ask in mode ask, allow except in plan mode and for calls with secrets.

    With outside text in the context, unattended, only an allow rule with a path covers files that control programs.
    """
    if rule is None or (rule.effect == "allow" and control and _is_unattended(context) and not rule.path):
        return None
    why = f'the rule "{rule.effect} {rule.description}"' + (f": {rule.why}" if rule.why else "")
    if rule.effect == "deny" or (rule.effect == "ask" and context.asks):
        return Verdict(rule.effect, why)
    allows = rule.effect == "allow" and context.mode != "plan" and not context.secrets
    return Verdict("allow", why) if allows else None


def _by_secrets(context: PolicyContext) -> Verdict | None:
    """Ask before a call receives secrets. In other modes the user must have named them.

    Calls in the token owner's own namespace may receive the owner's token without that.
    """
    if not context.secrets or context.mode == "yolo":
        return None
    why = f"it would receive {', '.join(context.secrets)}"
    if context.asks:
        return Verdict("ask", why + _price(context))
    own = "HF_TOKEN" if context.destinations and all(_is_own(one, context) for one in context.destinations) else ""
    unnamed = next((name for name in context.secrets if name not in context.user_text and name != own), "")
    return Verdict("deny", f"{why}; ask the user to name {unnamed}") if unnamed else None


def _is_unattended(context: PolicyContext) -> bool:
    """Return whether the call runs without a question although outside text is in the context."""
    return context.mode == "auto" and bool(context.taint)


def _by_control(context: PolicyContext, control: Control | None) -> Verdict | None:
    """Ask before a file changes that other programs obey; refuse it unattended once outside text is in the context."""
    if control is None or context.mode in {"yolo", "plan"}:
        return None
    why = f"it would change {control.reason}"
    if context.asks:
        return Verdict("ask", why)
    if not _is_unattended(context):
        return None
    return Verdict("deny", f"{why}, and text from {context.taint[0]} is in the context; leave this change to the user")


def _by_address(args: Mapping[str, object], context: PolicyContext) -> Verdict | None:
    """Refuse, unattended, an address that can carry data away, unless the user wrote it."""
    url = args.get("url")
    if not _is_unattended(context) or not isinstance(url, str) or url in context.user_text:
        return None
    if len(url.partition("//")[2].partition("/")[2]) <= MAX_ADDRESS and len(url.partition("?")[2]) <= MAX_QUERY:
        return None
    why = f"the address is long enough to send data, and text from {context.taint[0]} is in the context"
    return Verdict("deny", f"{why}; shorten it, or ask the user to name it")


def _by_unresolved(context: PolicyContext) -> Verdict | None:
    """Ask about a call whose inputs could not be determined; refuse it in unattended mode."""
    if not context.unresolved or context.mode == "yolo":
        return None
    return Verdict("ask" if context.asks else "deny", f"what it would do is unknown: {context.unresolved}")


def _by_reading(target: RuleTarget, context: PolicyContext, analysis: CommandAnalysis | None) -> Verdict | None:
    """Allow read-only calls in every mode, but ask about project secrets in mode ask."""
    if analysis and analysis.risk.kind == "auto" and (context.mode != "plan" or _only_reads(analysis)):
        return Verdict("allow", analysis.risk.why)
    is_attended = context.asks or context.mode == "plan"
    if is_attended and (secret := next((path for path in context.paths if is_project_secret(path)), "")):
        return Verdict("ask", f"{secret} usually contains secrets")
    return Verdict("allow", f"{target.tool} only reads") if context.read_only else None


def _by_missing_sandbox(target: RuleTarget, context: PolicyContext, analysis: CommandAnalysis | None) -> Verdict | None:
    """Ask about code in unattended mode where there is no sandbox: no analysis of a command covers what code does."""
    runs = target.tool == SHELL_TOOL or context.runs_shell
    if not runs or not context.sandbox_missing or context.mode != "auto" or (analysis and analysis.is_complete):
        return None
    return Verdict("ask", "it runs code, and this machine has no sandbox to contain it (--no-sandbox allows it)")


def _only_reads(analysis: CommandAnalysis) -> bool:
    return analysis.plain is not None and set(analysis.plain) <= analysis.reading


def _by_mode(target: RuleTarget, context: PolicyContext, analysis: CommandAnalysis | None) -> Verdict:
    if target.tool == PLAN_TOOL:
        return Verdict("allow", "planning changes nothing")
    if context.mode == "plan":
        return Verdict("deny", f"{target.tool} can make changes; plan mode is read-only until the plan is accepted")
    if context.asks:
        return Verdict("ask", analysis.risk.why if analysis else _outcome(target, context) + _price(context))
    if context.mode == "auto" and (problem := _auto_problem(target, context, analysis)):
        return Verdict("deny", problem)
    return Verdict("allow", f"mode {context.mode}")


def _auto_problem(target: RuleTarget, context: PolicyContext, analysis: CommandAnalysis | None) -> str:
    """Return why mode auto does not allow the call: cost over the budget or a destination the user did not name."""
    if context.cost_usd is not None and context.cost_usd > context.budget_left_usd:
        left = f"{money(context.budget_left_usd)} of the budget is left"
        return f"it may cost {money(context.cost_usd)}, but only {left}; ask the user for a larger budget"
    parsed = analysis.parsed if analysis else None
    is_public = context.public or context.irreversible or (parsed is not None and not is_private(parsed))
    foreign = [one for one in target.destinations if not _is_named(one, context, is_public=is_public)]
    if not foreign:
        return ""
    if context.unknown:
        return f"the effects of {target.tool} are unknown: {context.unknown}"
    effect = f"{outward_reason(parsed)} would send to {foreign[0]}" if parsed else _outcome(target, context, foreign[0])
    tainted = f", and text from {context.taint[0]} is in the context" if context.taint else ""
    instead = "keep it private, or " if context.public and _is_own(foreign[0], context) else ""
    return f"{effect}, which the user did not name{tainted}; {instead}ask the user to name it"


def _price(context: PolicyContext) -> str:
    if context.cost_usd is None:
        return ", at an unknown price"
    return f", for at most {money(context.cost_usd)}" if context.cost_usd else ""


def _outcome(target: RuleTarget, context: PolicyContext, destination: str = "") -> str:
    """Describe what the call would do."""
    if context.changed:
        return context.changed
    if not target.destinations or context.unknown:
        return "it changes a file" if target.tool in ("write", "edit") else f"{target.tool} can make changes"
    if target.destinations[0].startswith(MCP):
        return f"{target.tool} is a tool of the MCP server {target.destinations[0].removeprefix(MCP)}"
    reached = destination or ", ".join(target.destinations)
    public = ", visible to everyone" if context.public else ""
    return f"{target.tool} would {'delete or move' if context.irreversible else 'write to'} {reached}{public}"


def _is_named(destination: str, context: PolicyContext, *, is_public: bool) -> bool:
    """Return whether the user wrote the destination, it is this machine, or it is private and the token owner's."""
    user_text = context.user_text.lower()
    if destination in _LOCAL or (destination != "unknown" and destination.lower() in user_text):
        return True
    if destination.startswith(MCP):  # configured in the settings; its own output may be sent back to it
        server = destination.removeprefix(MCP).lower()
        return f"mcp server {server}" in user_text or all(source == destination for source in context.taint)
    if word := _OWN_REMOTES.get(destination):
        return not context.taint or word.search(context.user_text) is not None
    return _is_own(destination, context) and not is_public


def _is_own(destination: str, context: PolicyContext) -> bool:
    return bool(context.owner) and destination.lower().startswith(f"{context.owner.lower()}/")
