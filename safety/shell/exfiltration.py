"""Detection of exfiltration: secrets sent to foreign hosts, tunnels, redirected endpoints, and rewritten remotes."""

import re
from urllib.parse import urlsplit

from ml_intern.configs.providers import endpoint_names, official_urls, token_hosts
from ml_intern.safety.shell.credentials import find_secret_file
from ml_intern.safety.shell.invocations import Invocation, ParsedCommand
from ml_intern.text.word_table import words

NETWORK_CLIENTS = words(
    "curl wget wget2 nc ncat netcat socat telnet ftp sftp scp rsync ssh http https xh aria2c nslookup dig host ping "
    "drill mail sendmail mutt openssl rclone croc wormhole"
)
_TUNNELS = words(
    "ngrok cloudflared localtunnel lt bore frpc frps chisel autossh sshuttle pagekite localxpose zrok ligolo inlets "
    "pyngrok tmate upterm gotty ttyd openvpn wg-quick tor"
)
_RUNS_PACKAGE = re.compile(r"(?:npx|bunx|uvx|pipx|pnpm|yarn|python[\d.]*)\Z")
_SECRET_VARIABLE = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|PAT|CREDENTIALS?)\Z")
_TOKEN_HOSTS = token_hosts()
_ENDPOINT = re.compile(
    r"(?:HF_INFERENCE_ENDPOINT|HUGGINGFACE_CO_URL_HOME|(?:HTTPS?|ALL|FTP)_PROXY|(?:\w+_)?BASE_URL|"
    r"(?:\w+_)?API_BASE|\w+_API_URL|"
    r"AWS_ENDPOINT_URL\w*|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|SSL_CERT_FILE|"
    r"SSLKEYLOGFILE)\Z",
    re.IGNORECASE,
)
_ENDPOINT_NAMES = frozenset(endpoint_names())
_OFFICIAL_URLS = official_urls()
_READS_SETTING = re.compile(r"(?:^|\s)config (?:\S+ )*?(?:--get(?:-\w+)?|--list|-l|get|list)(?:\s|$)(?!.*\s-c\s)")
_URL = re.compile(r"(?:https?|ftp|ws|wss)://[^\s'\"<>]+")
_ENVIRONMENT = frozenset({"env", "printenv", "set", "export", "declare", "compgen"})
_UNNEEDED_LOGIN = re.compile(r"://[^/@\s]+:[^/@\s]+@")


def is_tunnel(_parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it opens a tunnel or forwards a port."""
    if one.name in _TUNNELS or (_RUNS_PACKAGE.match(one.name) and not _TUNNELS.isdisjoint(one.arguments)):
        return True
    words = " ".join(one.arguments)
    if one.name == "ssh":
        return (
            re.search(
                r"(?:^|\s)-[A-Za-z]*[RLDw](?:\s|\d|$)|(?:Remote|Local|Dynamic)Forward|"
                r"ProxyCommand",
                words,
            )
            is not None
        )
    if one.name in {"nc", "ncat", "netcat"}:
        return one.has("elc", "exec", "sh-exec", "listen")
    if one.name == "socat":
        return (
            re.search(
                r"(?i)\b(?:EXEC|SYSTEM|TCP-LISTEN|TCP4-LISTEN|UDP-LISTEN|OPENSSL-LISTEN|"
                r"PTY)\b",
                words,
            )
            is not None
        )
    return (one.name in {"code", "code-server"} and "tunnel" in one.arguments) or (
        one.name == "tailscale" and bool({"up", "funnel", "serve"} & set(one.arguments))
    )


def redirects_endpoint(_parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it redirects authenticated clients: HF_ENDPOINT, a proxy, a base URL, a certificate bundle."""
    given = [(name, value.text) for name, value in one.assignments]
    if one.name in {"export", "declare", "typeset", "readonly", "local", "env", "setenv"}:
        given += [(name, value) for name, sign, value in (word.partition("=") for word in one.arguments) if sign]
    if any(_is_endpoint(name) and value and value.removesuffix("/") not in _OFFICIAL_URLS for name, value in given):
        return True
    words = " ".join(one.arguments)
    if one.name == "git" and not _READS_SETTING.search(words):
        return (
            re.search(
                r"(?:http\.(?:\S+\.)?(?:proxy|sslverify|extraheader)|url\.\S+\.(?:push)?insteadof|"
                r"credential\.\S*helper)\b",
                words,
                re.IGNORECASE,
            )
            is not None
        )
    if one.name in {"pip", "pip3", "npm", "conda", "uv"} and "config" in one.arguments[:2]:
        return "set" in one.arguments or "--set" in one.arguments
    code = re.search(r"environ(?:\.setdefault\(|\[)\s*[\"'](\w+)", one.code)
    return code is not None and _is_endpoint(code.group(1))


def _is_endpoint(name: str) -> bool:
    return name.upper() in _ENDPOINT_NAMES or _ENDPOINT.match(name) is not None


def is_exfiltration(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it passes a secret file, the environment or a token to a network client for a foreign host."""
    if one.name == "git" and "push" in one.arguments[:3]:
        return any(_UNNEEDED_LOGIN.search(word) for word in one.arguments)
    if one.name not in NETWORK_CLIENTS:
        return False
    sources = [
        one,
        *parsed.upstream(one),
        *(other for other in parsed.invocations if _is_nested_in(parsed, other, one)),
    ]
    if any(find_secret_file(other, parsed.context) and not _is_downloaded(other) for other in sources):
        return True
    if any(other.name in _ENVIRONMENT for other in sources):
        return True
    return any(_is_foreign(variable, one) for other in sources for variable in _variables(other))


def _is_downloaded(one: Invocation) -> bool:
    """Return whether it downloads to a file and sends none, as in `curl -o .env.example URL`."""
    return (
        one.name in {"curl", "wget"}
        and one.has("oO", "output", "output-document")
        and not one.has("dFT", "data", "form", "upload-file", "data-binary", "post-file")
    )


def _is_nested_in(parsed: ParsedCommand, other: Invocation, one: Invocation) -> bool:
    if other.command.host < 0:
        return False
    shell = next(
        (shell for shell in parsed.shells if any(command is other.command for command in shell.commands)), None
    )
    return shell is not None and shell.commands[other.command.host] is one.command


def _variables(one: Invocation) -> list[str]:
    return [name for word in one.words for name in word.variables if _SECRET_VARIABLE.search(name)]


def _is_foreign(variable: str, one: Invocation) -> bool:
    """Return whether a known token goes to a host other than its own. Other secrets are handled by asking."""
    hosts = [urlsplit(url.group()).hostname or "" for word in one.arguments for url in _URL.finditer(word)]
    own = _TOKEN_HOSTS.get(variable)
    if own is None:
        return False
    return not hosts or not all(any(host == name or host.endswith("." + name) for name in own) for host in hosts)


def rewrites_remote(_parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it force-pushes, pushes a deletion, mirrors, or deletes a repository."""
    words = one.arguments
    if one.name == "git" and "push" in words:
        behind = words[words.index("push") + 1 :]
        forced = any(
            word.startswith(("--force", "--mirror", "--delete", "--prune", "--force-with-lease")) for word in behind
        )
        short = any(re.match(r"-[a-zA-Z]*[fd]", word) for word in behind if not word.startswith("--"))
        return forced or short or any(word.startswith(("+", ":")) for word in behind)
    if one.name == "gh":
        return words[:2] in {("repo", "delete"), ("release", "delete"), ("secret", "set")}
    return one.name in {"hf", "huggingface-cli"} and words[:2] in {("repo", "delete"), ("repos", "delete")}
