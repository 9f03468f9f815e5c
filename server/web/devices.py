"""The name of the browser or program that sent a request, for the line that says where an approval was answered."""

from typing import Any, Final

from ml_intern.text.visible import visible

MAX_NAME = 60
_BROWSERS: Final = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "Chrome/": "Chrome",
    "CriOS/": "Chrome",
    "Safari/": "Safari",
}
"""Browsers by a part of their User-Agent. The first that fits counts: most browsers also name others."""
_SYSTEMS: Final = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Macintosh": "macOS",
    "Linux": "Linux",
}


def device_of(user_agent: str) -> str:
    """Return the name of a browser and its system, such as "Chrome on Android", or of a program, such as "curl"."""
    browser = next((name for part, name in _BROWSERS.items() if part in user_agent), "")
    if not browser:
        return visible(user_agent.partition("/")[0].strip())[:MAX_NAME]
    system = next((name for part, name in _SYSTEMS.items() if part in user_agent), "")
    return f"{browser} on {system}" if system else browser


def with_device(operation: dict[str, Any], user_agent: str) -> dict[str, Any]:
    """Return an operation with the name of the device that sent it, if it answers an approval and has none."""
    if operation["type"] != "exec_approval":
        return operation
    return {"device": device_of(user_agent), **operation}
