"""Print how long redact() takes for 1 MB of hostile and of ordinary text, and its hits on the labelled cases."""

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.safety.secrets.formats import FORMATS  # noqa: E402
from ml_intern.safety.secrets.redaction import add_known_secrets, redact  # noqa: E402  (a script: the checkout first)

MEGABYTE = 1_000_000
LOG_LINE = "epoch 3 step=1200 loss: 0.4321 lr=1e-4 Saving to ./out/checkpoint-1200 https://huggingface.co/org/model\n"
UNITS = [
    "a",
    "A1",
    "0",
    " ",
    "\n",
    "=",
    "-",
    "_",
    ".",
    "/",
    ":",
    "@",
    "\\",
    '"',
    "token",
    "token=",
    "password ",
    "password: ",
    "TOKEN ",
    "api_key",
    "key-",
    "://",
    "://:",
    "://a:",
    "://a:b@",
    "eyJ",
    "eyJa.",
    "eyJaaaaaaaaaa.",
    "-----BEGIN ",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\n" + "A" * 64 + "\n",
    "-----END ",
    "Authorization: ",
    "authorization",
    "Bearer ",
    "Cookie: a=",
    "cookie:",
    "[redacted:x]",
    "[redacted:",
    "%3D",
    "\\n",
    "\x1b[32m",
    "-u ",
    "--user a:",
    "machine h login x password ",
    "_token",
    "a_",
    "sk-a",
    "SG.a",
    "'token','",
    "MTE",
    "loss: 0.4321 step=12 lr=1e-4\n",
    "1//0",
    "A" * 20 + ".",
    "abcdefgh-",
]


def seconds(text: str) -> float:
    """CPU time of one redact(): the wall clock shows the neighbours."""
    start = time.thread_time()
    redact(text)
    return time.thread_time() - start


def main() -> None:
    add_known_secrets({f"HELD_{index}_TOKEN": f"Held{index:03d}valueNobodyHasSeen" for index in range(20)})
    units = UNITS + sorted({form.literal for form in FORMATS})
    worst = sorted(((seconds(unit * (MEGABYTE // len(unit))), unit) for unit in units), reverse=True)
    print(f"hostile inputs of 1 MB: {len(units)}, slowest {worst[0][0]:.2f} s")
    for took, unit in worst[:6]:
        print(f"  {took:.2f} s  {unit[:40]!r}")
    log = (LOG_LINE * 30)[:2000]
    print(f"2 KB of a training log: {min(seconds(log) for _ in range(100)) * 1e6:.0f} µs")
    cases = [json.loads(line) for line in (ROOT / "tests/safety/data/secrets.jsonl").read_text().splitlines()]
    secret = [case for case in cases if case["expected"] == "redact"]
    keep = [case for case in cases if case["expected"] == "keep"]
    print(f"redacted {sum(case['secret'] not in redact(case['text']) for case in secret)} of {len(secret)}")
    print(f"falsely redacted {sum(redact(case['text']) != case['text'] for case in keep)} of {len(keep)}")


if __name__ == "__main__":
    main()
