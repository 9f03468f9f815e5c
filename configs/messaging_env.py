"""The messaging settings that Slack's environment variables stand for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs.layers import Json, Values

_PREFIX = "ML_INTERN_SLACK_"
_NO = frozenset({"", "0", "false", "no", "off"})


def messaging_from(environment: Mapping[str, str]) -> "Values":
    """A destination for SLACK_BOT_TOKEN and SLACK_CHANNEL_ID, unless ML_INTERN_SLACK_NOTIFICATIONS says no."""
    token, channel = environment.get("SLACK_BOT_TOKEN"), environment.get("SLACK_CHANNEL_ID")
    if not token or not channel or not _yes(environment, "NOTIFICATIONS"):
        return {}
    destination: dict[str, Json] = {
        "provider": "slack",
        "token": token,
        "channel": channel,
        "allow_agent_tool": _yes(environment, "ALLOW_AGENT_TOOL"),
        "allow_auto_events": _yes(environment, "ALLOW_AUTO_EVENTS"),
    }
    name = environment.get(f"{_PREFIX}DESTINATION") or "slack.default"
    messaging: dict[str, Json] = {"enabled": True, "destinations": {name: destination}}
    if events := environment.get(f"{_PREFIX}AUTO_EVENTS"):
        messaging["auto_event_types"] = [event.strip() for event in events.split(",") if event.strip()]
    return {"messaging": messaging}


def _yes(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(f"{_PREFIX}{name}", "true").strip().lower() not in _NO
