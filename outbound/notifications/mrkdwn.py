"""Markdown as Slack shows it (mrkdwn). Code stays as it is; nothing becomes a link, a mention or a command."""

import re

_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_BULLET = re.compile(r"^([ \t]*)[-*+][ \t]+", re.MULTILINE)
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_STRUCK = re.compile(r"~~(?=\S)(.+?)(?<=\S)~~")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\((\S+?)\)")
_FENCE_LANGUAGE = re.compile(r"\A```[\w+-]*\n")


def to_mrkdwn(text: str) -> str:
    """Return Markdown text in the form that Slack renders, with &, < and > escaped."""
    parts = _CODE.split(escape_for_slack(text))
    return "".join(
        _FENCE_LANGUAGE.sub("```\n", part) if index % 2 else _prose(part) for index, part in enumerate(parts)
    )


def escape_for_slack(text: str) -> str:
    """Escape text for Slack, so that it cannot form a mention, a link or a command."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _prose(text: str) -> str:
    text = _BULLET.sub(r"\1• ", text)
    text = _BOLD.sub(r"*\2*", text)
    text = _HEADING.sub(lambda found: f"*{found[1].replace('*', '')}*", text)
    return _LINK.sub(r"\1 (\2)", _STRUCK.sub(r"~\1~", text))
