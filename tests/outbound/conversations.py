"""Sample conversations for the format tests."""

from ml_intern.outbound.conversation import Call, Conversation, Message, TurnEnding

HOSTILE = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e"


def two_turns() -> Conversation:
    """Two turns: a plan and a failed command, then an answer."""
    plan = Call("call_1", "plan", {"steps": [{"text": "look", "status": "done"}]})
    command = Call("call_2", "bash", {"command": "cat f\nexit 3", "timeout": 5})
    return Conversation(
        thread_id="11111111-2222-4333-8444-555555555555",
        title="What is it?",
        folder="/home/me/work",
        model="anthropic/claude",
        created=1_760_000_000.0,
        updated=1_760_000_100.0,
        cost_usd=0.25,
        messages=(
            Message("user", "what is it?", turn=1, time=1_760_000_001.0),
            Message("assistant", "Let me see.", "msg_1", (plan, command), "I should look.", time=1_760_000_002.0),
            Message("tool", "Plan:\n[x] look", call_id="call_1", name="plan", time=1_760_000_003.0, seconds=0.5),
            Message(
                "tool", "```\nno such file", call_id="call_2", name="bash", ok=False, time=1_760_000_009.0, seconds=5
            ),
            Message("note", "Go on."),
            Message("assistant", "It is **42**.", "msg_2"),
            Message("user", "sure?", turn=2, time=1_760_000_050.0),
            Message("assistant", "Yes.", "msg_3", time=1_760_000_060.0),
        ),
        endings={1: TurnEnding("done", "It is **42**.", 0, 2, 1_760_000_010.0)},
    )


def hostile() -> Conversation:
    """A conversation in which every text attempts an injection."""
    link = f"[click](javascript:alert(1)) ![pixel](https://evil.example/p.png) {HOSTILE}\n\n<b onclick=x>raw</b>"
    fences = f'\n\n```python"><script>\n{HOSTILE}\n```\n\n```html\n{HOSTILE}\n```\n\n~~~{HOSTILE}\nx\n~~~'
    diff = f"Edited {HOSTILE}.\n--- a/{HOSTILE}\n+++ b/x\n@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE}"
    calls = (
        Call("c", HOSTILE, {HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE, {"a": [[[[HOSTILE]]]]}]}}),
        Call("p", "plan", {"steps": [{"text": HOSTILE, "status": HOSTILE}, {"text": [HOSTILE]}, {}]}),
        Call("q", "plan", {"steps": HOSTILE}),
        Call("e", "edit", {"path": f"{HOSTILE}.html", "old": HOSTILE, "new": f"{HOSTILE}\n"}),
        Call("r", "read", {"path": f"{HOSTILE}.py"}),
        Call("b", "bash", {"command": f"echo '\n{HOSTILE}'"}),
        Call("w", "write", {"path": "x.html", "content": f"{HOSTILE}\n"}),
    )
    endings = {0: TurnEnding(HOSTILE, HOSTILE, 1, 1)}
    messages = (
        Message("user", HOSTILE, images=("https://evil.example/i.png", 'data:image/png;base64,"><script>')),
        Message("assistant", link + fences, "m", calls, HOSTILE),
        Message("tool", HOSTILE, call_id="c", name=HOSTILE, images=('data:image/png;base64,"><script>',)),
        Message("tool", HOSTILE, call_id="p", name="plan", ok=False),
        Message("tool", diff, call_id="e", name="edit"),
        Message("tool", f"     1\t{HOSTILE}\n     2\t{HOSTILE}\n[{HOSTILE}]", call_id="r", name="read"),
        Message("note", f"{HOSTILE}\n" * 30),
        Message("user", HOSTILE),
    )
    return Conversation(HOSTILE, messages, title=HOSTILE, folder=HOSTILE, model=HOSTILE, endings=endings)
