"""Git's settings: the keys that make git run nothing, and reading a settings file without git."""

import re
from collections.abc import Iterator

HARMLESS_KEYS = re.compile(
    r"user\.(?:name|email|signingkey)|author\..*|committer\..*|"
    r"core\.(?:autocrlf|eol|safecrlf|filemode|ignorecase|precomposeunicode|quotepath|symlinks|bare|logallrefupdates|"
    r"repositoryformatversion|abbrev|compression|bigfilethreshold|longpaths|preloadindex|untrackedcache|splitindex|"
    r"sparsecheckout|sparsecheckoutcone|commentchar|whitespace|worktree)|"
    r"remote\..+\.(?:url|fetch|tagopt|prune|partialclonefilter|promisor|pushurl)|"
    r"branch\..+\.(?:remote|merge|rebase|description)|"
    r"(?:pull|push|fetch|init|merge|rebase|diff|log|status|color|column|advice|rerere|gc|commit|tag|stash|help|pack|index|"
    r"feature|checkout|branch|versionsort|blame)\.(?!.*(?:external|command|program|cmd|driver|tool|textconv|template|"
    r"helper|gpgsign|showsignature|hook|browser|file|uri))[\w.-]+|"
    r"submodule\.(?:active|recurse)|submodule\..+\.(?:url|active|branch|path)|"
    r"lfs\.(?:repositoryformatversion|locksverify)|lfs\.[\w./:-]+\.(?:access|locksverify)|"
    r"extensions\.(?:objectformat|partialclone)|safe\.directory",
    re.IGNORECASE,
)
"""Keys of git's settings that make git run nothing and read no further file."""
_SECTION = re.compile(r"\s*\[\s*([\w.-]+)(?:\s+\"((?:[^\"\\]|\\.)*)\")?\s*\](.*)")
_SETTING = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:=\s*(.*))?\Z")


def parse_settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of each setting in the text of a git settings file, as section.subsection.name."""
    section = ""
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        rest = line
        if header := _SECTION.match(line):
            section = header[1].lower() + (f".{header[2]}" if header[2] is not None else "")
            rest = header[3]
        if (setting := _SETTING.match(re.split(r"\s[#;]", rest)[0].rstrip())) and section:
            yield f"{section}.{setting[1].lower()}", (setting[2] or "").strip().strip('"')
