"""The name of the browser or program that answers an approval."""

import pytest

from ml_intern.server.web.devices import MAX_NAME, device_of

ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (f"{ANDROID} Chrome/126.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{ANDROID} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36", "Samsung Internet on Android"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0", "Firefox on Android"),
        (WINDOWS, "Chrome on Windows"),
        (f"{WINDOWS} Edg/126.0.0.0", "Edge on Windows"),
        (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (f"{IPHONE} CriOS/126.0.0.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
        (f"{MAC} Version/17.5 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox on Linux"),
        ("curl/8.5.0", "curl"),
        ("my\u202eprogram\x1b[2J", "my\\u202eprogram\\x1b[2J"),
        ("x" * 10_000, "x" * MAX_NAME),
        ("", ""),
    ],
)
def test_a_browser_is_named_with_its_system_and_a_program_by_its_name(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device
