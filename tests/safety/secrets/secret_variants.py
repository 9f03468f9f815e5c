"""Generated secrets of every prefixed format in typical contexts, reproducible from a seed."""

import random
import string
from collections.abc import Iterator
from urllib.parse import quote

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
URLSAFE = ALNUM + "-_"

# kind -> the parts of a value: literal text, or (alphabet, length)
SHAPES: dict[str, tuple[str | tuple[str, int], ...]] = {
    "hf": ("hf_", (string.ascii_letters, 34)),
    "hf_org": ("api_org_", (string.ascii_letters, 34)),
    "anthropic": ("sk-ant-api03-", (URLSAFE, 93), "AA"),
    "anthropic_admin": ("sk-ant-admin01-", (URLSAFE, 93), "AA"),
    "openai_old": ("sk-", (ALNUM, 20), "T3BlbkFJ", (ALNUM, 20)),
    "openai_project": ("sk-proj-", (URLSAFE, 74), "T3BlbkFJ", (URLSAFE, 74)),
    "openai_admin": ("sk-admin-", (URLSAFE, 58), "T3BlbkFJ", (URLSAFE, 58)),
    "deepseek": ("sk-", (HEX, 32)),
    "openrouter": ("sk-or-v1-", (HEX, 64)),
    "groq": ("gsk_", (ALNUM, 52)),
    "xai": ("xai-", (ALNUM, 80)),
    "nvidia": ("nvapi-", (URLSAFE, 64)),
    "together": ("tgp_v1_", (URLSAFE, 43)),
    "perplexity": ("pplx-", (ALNUM, 48)),
    "replicate": ("r8_", (ALNUM, 37)),
    "fireworks": ("fw_", (ALNUM, 22)),
    "cerebras": ("csk-", (string.ascii_lowercase + string.digits, 48)),
    "wandb": ("wandb_v1_", (ALNUM, 77)),
    "langsmith": ("lsv2_sk_", (HEX, 32), "_", (HEX, 10)),
    "google_api": ("AIza", (URLSAFE, 35)),
    "google_oauth": ("ya29.", (URLSAFE, 120)),
    "google_refresh": ("1//0", (URLSAFE, 60)),
    "google_client": ("GOCSPX-", (URLSAFE, 28)),
    "github_classic": ("ghp_", (ALNUM, 36)),
    "github_oauth": ("gho_", (ALNUM, 36)),
    "github_user": ("ghu_", (ALNUM, 36)),
    "github_server": ("ghs_", (ALNUM, 36)),
    "github_refresh": ("ghr_", (ALNUM, 76)),
    "github_fine": ("github_pat_", (ALNUM, 22), "_", (ALNUM, 59)),
    "gitlab": ("glpat-", (URLSAFE, 20)),
    "gitlab_deploy": ("gldt-", (URLSAFE, 20)),
    "gitlab_runner": ("glrt-", (URLSAFE, 20)),
    "slack_bot": ("xoxb-", ("0123456789", 12), "-", ("0123456789", 13), "-", (ALNUM, 24)),
    "slack_user": ("xoxp-", ("0123456789", 12), "-", ("0123456789", 12), "-", (HEX, 32)),
    "slack_app": ("xapp-1-A", (UPPER, 10), "-", ("0123456789", 13), "-", (HEX, 64)),
    "slack_refresh": ("xoxe-1-", (UPPER, 146)),
    "slack_hook": ("https://hooks.slack.com/services/T", (UPPER, 9), "/B", (UPPER, 9), "/", (ALNUM, 24)),
    "aws_key": ("AKIA", (UPPER, 16)),
    "aws_session": ("ASIA", (UPPER, 16)),
    "pypi": ("pypi-AgEIcHlwaS5vcmc", (URLSAFE, 90)),
    "npm": ("npm_", (ALNUM, 36)),
    "docker": ("dckr_pat_", (URLSAFE, 27)),
    "sendgrid": ("SG.", (URLSAFE, 22), ".", (URLSAFE, 43)),
    "stripe_live": ("sk_live_", (ALNUM, 24)),
    "stripe_restricted": ("rk_live_", (ALNUM, 24)),
    "twilio": ("SK", (HEX, 32)),
    "databricks": ("dapi", (HEX, 32)),
    "linear": ("lin_api_", (ALNUM, 40)),
    "vercel": ("vcp_", (ALNUM, 56)),
    "postman": ("PMAK-", (HEX, 24), "-", (HEX, 34)),
    "shopify": ("shpat_", (HEX, 32)),
    "age": ("AGE-SECRET-KEY-1", (UPPER, 58)),
    "vault": ("hvs.", (URLSAFE, 90)),
    "digitalocean": ("dop_v1_", (HEX, 64)),
    "grafana": ("glsa_", (ALNUM, 32), "_", (HEX, 8)),
    "notion": ("ntn_", (ALNUM, 46)),
    "figma": ("figd_", (URLSAFE, 40)),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJ", (URLSAFE, 60), ".", (URLSAFE, 43)),
    "mailgun": ("key-", (HEX, 32)),
    "telegram": (("0123456789", 10), ":AA", (URLSAFE, 33)),
}

CONTEXTS: dict[str, str] = {
    "plain": "token is {} ok",
    "sentence": "Use {}. Then go",
    "comma": "токен {}, да",
    "env": "HOME=/root\nX_TOKEN={}\nPATH=/bin",
    "export": "export MY_KEY={}",
    "quoted": "login(token='{}')",
    "double_quoted": 'key = "{}"',
    "json": '{{"a": {{"token": "{}"}}}}',
    "json_escaped": '"{{\\"token\\": \\"{}\\"}}"',
    "yaml": "token: {}\nname: x",
    "ansi": "\x1b[32m{}\x1b[0m",
    "ansi_shown": "\\x1b[1;32m{}\\x1b[0m",
    "markdown": "`{}`",
    "html": "<b>{}</b>",
    "header": "Authorization: Bearer {}",
    "api_header": "x-api-key: {}",
    "query": "GET https://x.example/?access_token={}&b=1",
    "userinfo": "git clone https://user:{}@huggingface.co/u/r",
    "argv": "['hf','auth','login','--token','{}']",
    "option": "hf auth login --token {} --add-to-git-credential",
    "adjacent": "key={};next=1",
    "twice": "{0} and again {0}",
    "escaped_newline": "'line\\n{}\\nline'",
    "parenthesis": "({})",
    "csv": "a,{},b",
    "log": "2026-01-02 10:11:12 ERROR 401 for {}",
    "diff": "+TOKEN = '{}'",
    "stars": "**{}**",
    "start_of_text": "{}",
}


def make(kind: str, rng: random.Random) -> str:
    """Return one value of that kind."""
    parts = [part if isinstance(part, str) else "".join(rng.choices(part[0], k=part[1])) for part in SHAPES[kind]]
    return "".join(parts)


def variants(seed: int, per_kind: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield kind, context, secret and text: every kind in every context, `per_kind` times."""
    rng = random.Random(seed)
    for kind in SHAPES:
        for name, context in CONTEXTS.items():
            for _ in range(per_kind):
                secret = make(kind, rng)
                yield kind, name, secret, context.format(secret)
            escaped = quote(secret, safe="")
            if escaped == secret:
                yield kind, "urlencoded", secret, f"data token%3D{secret} end"
