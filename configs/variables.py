"""Environment variables: those of the program, one for each setting, and ML_INTERN_ variables that do not exist.

Providers' keys and addresses are in configs/providers.py.
"""

import difflib
from collections.abc import Iterator, Mapping

from ml_intern.configs.env import CREDENTIALS, ENDPOINTS
from ml_intern.configs.schema import VARIABLE_PREFIX, Json, KeyPath, parse, setting_keys, variable_of

PROGRAM_VARIABLES: Mapping[str, str] = {
    "ML_INTERN_HOME": "one folder for all files: threads, caches, trust and settings",
    "ML_INTERN_DATABASE": "the PostgreSQL database with the threads, `postgresql://USER:PASSWORD@HOST/NAME`",
    "ML_INTERN_SECRET_KEY": "the secret that seals the keys of users, at least 32 characters, the same on all machines",
    "ML_INTERN_LOGIN_SECRET": "the secret that the issuer of logins gave a team's server (or `OAUTH_CLIENT_SECRET`)",
    "ML_INTERN_WORKSPACES": "the folder with the folders of users' threads; by default beside ML_INTERN_HOME",
    "ML_INTERN_SERVER": "the server whose threads every command uses, as `--server NAME`",
    "ML_INTERN_SERVER_TOKEN": "the token of `ml-intern serve`; a new one at each start without it",
    "ML_INTERN_CLI_CONFIG": "your settings file",
    "ML_INTERN_DEFAULT_MODEL_ID": "the model of `ml-intern studio`, if `-m` is not given",
    "ML_INTERN_ROUTER_URL": "another address of the Hugging Face router",
    "ML_INTERN_SLACK_NOTIFICATIONS": "`false`: no notifications from the Slack variables",
    "ML_INTERN_SLACK_DESTINATION": "name of the destination; default `slack.default`",
    "ML_INTERN_SLACK_AUTO_EVENTS": "events to send: `approval_required,error,turn_complete`",
    "ML_INTERN_SLACK_ALLOW_AGENT_TOOL": "whether the model may send messages with the tool `notify`",
    "ML_INTERN_SLACK_ALLOW_AUTO_EVENTS": "whether events are sent",
}
"""Variables that are not settings, with their meanings."""

INTERNAL_VARIABLES = frozenset(
    {
        "ML_INTERN_CALL",  # marks the processes of a call
        "ML_INTERN_OWN_KEYS",  # the names of the keys of a user, in the process of a thread of the user
        "ML_INTERN_STUDIO",  # from `ml-intern studio` to its server
    }
)
"""Variables that the program sets for its own processes."""

VARIABLES_WITHOUT_EFFECT: Mapping[str, str] = {
    "ML_INTERN_ARTIFACT_COLLECTION_CACHE": "no file of collections is written",
    "ML_INTERN_KPIS_DISABLED": "no usage figures are collected",
}
"""Variables of older versions, with the reason why they have no effect."""

_SIMILAR = 0.65
"""The similarity of two names, without the prefix, from which one is suggested for the other."""


def setting_variables() -> dict[str, KeyPath]:
    """Return the variable of every setting with the path of the setting."""
    return {variable_of(path): path for path in setting_keys()}


def settings_from(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the variables of settings that are set, each with the values it gives. An empty one is not set."""
    for variable, path in setting_variables().items():
        if text := environment.get(variable):
            value = parse(text, path)
            for part in reversed(path[1:]):
                value = {str(part): value}
            yield variable, {str(path[0]): value}


def variable_notes(environment: Mapping[str, str]) -> list[str]:
    """Return a note on each ML_INTERN_ variable that is unknown or has no effect."""
    known = {*PROGRAM_VARIABLES, *INTERNAL_VARIABLES, *setting_variables()}
    found = sorted(name for name in environment if name.startswith(VARIABLE_PREFIX) and name not in known)
    return [_note(name, known) for name in found]


def _note(name: str, known: set[str]) -> str:
    if name in VARIABLES_WITHOUT_EFFECT:
        return f"the variable {name} has no effect: {VARIABLES_WITHOUT_EFFECT[name]}"
    names = {one.removeprefix(VARIABLE_PREFIX): one for one in (*CREDENTIALS, *ENDPOINTS, *sorted(known))}
    near = difflib.get_close_matches(name.removeprefix(VARIABLE_PREFIX), names, n=1, cutoff=_SIMILAR)
    remedy = f"did you mean {names[near[0]]}?" if near else "docs/reference/environment.md lists them"
    return f"the variable {name} is unknown and ignored ({remedy})"


_SLACK = f"{VARIABLE_PREFIX}SLACK_"
_NO = frozenset({"", "0", "false", "no", "off"})


def messaging_from(environment: Mapping[str, str]) -> dict[str, Json]:
    """Return the destination of SLACK_BOT_TOKEN and SLACK_CHANNEL_ID, unless ML_INTERN_SLACK_NOTIFICATIONS is off.

    SLACK_CHANNEL is an older name of SLACK_CHANNEL_ID.
    """
    token = environment.get("SLACK_BOT_TOKEN")
    channel = environment.get("SLACK_CHANNEL_ID") or environment.get("SLACK_CHANNEL")
    if not token or not channel or not _yes(environment, "NOTIFICATIONS"):
        return {}
    destination: dict[str, Json] = {
        "provider": "slack",
        "token": token,
        "channel": channel,
        "allow_agent_tool": _yes(environment, "ALLOW_AGENT_TOOL"),
        "allow_auto_events": _yes(environment, "ALLOW_AUTO_EVENTS"),
    }
    name = environment.get(f"{_SLACK}DESTINATION") or "slack.default"
    messaging: dict[str, Json] = {"enabled": True, "destinations": {name: destination}}
    if events := environment.get(f"{_SLACK}AUTO_EVENTS"):
        messaging["auto_event_types"] = [event.strip() for event in events.split(",") if event.strip()]
    return {"messaging": messaging}


def _yes(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(f"{_SLACK}{name}", "true").strip().lower() not in _NO
