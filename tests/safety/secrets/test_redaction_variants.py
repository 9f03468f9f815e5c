import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_intern.safety.secrets.redaction import redact
from ml_intern.safety.secrets.stream import RedactingStream
from tests.safety.secrets.secret_variants import SHAPES, make, variants

HARMLESS = [
    "eos_token: '</s>', bos_token: '<s>', pad_token_id: 0",
    '{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": null}',
    "additional_special_tokens=['<|im_start|>', '<|im_end|>']",
    "max_tokens=4096, max_new_tokens: 512, n_tokens=123456789",
    "trained on 1_000_000_000 tokens: 12.5 tokens/s",
    "tokens_per_second=18234.1 step=100 loss=2.3456789",
    "sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "revision: 4f1b2b0b822cd15d6c15b0f00a089f86d081884c",
    "uuid 6f1c1f0e-8a39-4d3e-9b8a-2f2f3d9c1b7e",
    "repo id HuggingFaceTB/SmolLM2-135M-Instruct at main",
    "meta-llama/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
    "checkpoint-12000/model-00001-of-00004.safetensors",
    "token = get_token()",
    "token=args.hub_token",
    "hf_hub_download(repo_id, filename, token=token)",
    "export HF_TOKEN=${HF_TOKEN:-}",
    "os.environ['OPENAI_API_KEY'] = key",
    "password: ********",
    "api_key = None",
    "set your OPENAI_API_KEY=<your key here>",
    "key_padding_mask=attention_mask, key_length=128",
    "tokenizer.pad_token = tokenizer.eos_token",
    "lr_scheduler_type=cosine_with_restarts warmup_ratio=0.03",
    "Traceback (most recent call last): KeyError: 'token'",
    "the secret to good fine-tuning is clean data",
    "PWD=/work/project OLDPWD=/tmp",
    "https://example.com/path?page=2&token_count=15",
    "HTTP 200 in 0.35s user:pass are placeholders in http://user:pass@host",
    "ghp_xxxxxxxxxxxxxxxxxxxx".replace("x" * 20, "..."),
    "skip-connections-and-sk-means-nothing-here-at-all",
    "disk-usage-of-the-whole-training-cluster-2024-10-10",
    "wandb: run name rosy-sunset-12, id 3kx9q2ab",
    "job_id=66f1c1f0e8a394d3e9b8a2f2 status=RUNNING",
    "digest sha256:ea2ea2e2f2f9a3a3ee2a2f0a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708",
    "dataset fingerprint: 1b2c3d4e5f60718293a4b5c6d7e8f901",
    "secret_name: training-credentials, namespace: default",
    "author: Basic Books, bearer of good news",
    "cookie cutter template: recipe",
    "the password must be at least 12 characters",
    "Enter your password: ",
    "git@github.com:org/repo.git and ssh://git@host:22/x",
    "ip 10.0.0.1:8080@rack and mail a.user@example.com",
    "SG.1 (see SG.2), SKU SK-12345, AKIA is a prefix",
    "key-value-cache-of-the-attention-layers",
]


@pytest.mark.parametrize("kind", SHAPES)
def test_a_prefixed_secret_is_redacted_in_every_context(kind: str) -> None:
    missed = [(context, text) for of, context, secret, text in variants(7, 3) if of == kind and secret in redact(text)]
    assert missed == []


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_machine_learning_text_is_unchanged(text: str) -> None:
    assert redact(text) == text


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("aA0 =:@/.-_\"'\\\n%[];,{}skhftoenSGpwdK"), max_size=80))
def test_redacting_random_text_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


WORDS = [
    "pass",
    "Password",
    "a_pass",
    "TOKEN",
    "secret",
    "credentials",
    "api_key",
    "AccessKey",
    "HF_KEY",
    "A_PAT",
    "key",
]
SIGNS = ["=", ": ", " ", '":"', "->", "\n", "Authorization: Bearer ", "Cookie: a=", "https://a:", "@b ", "-u me:", "x"]
ODD_LETTER = "\u017f"
"""A letter that disables the fast search, since case-insensitive patterns match it as s."""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*WORDS, *SIGNS, "a8Kd92mVx01QwZ", "kQ3v-77", "hunter2"]), max_size=12).map("".join))
def test_the_fast_search_misses_no_secret(text: str) -> None:
    end = "\n" * 8
    assert redact(text + end + ODD_LETTER) == redact(text + end) + ODD_LETTER


def chunks(text: str, rng: random.Random) -> list[str]:
    cuts = sorted(rng.sample(range(len(text) + 1), k=min(6, len(text))))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("kind", SHAPES)
def test_a_secret_cut_by_chunks_is_never_shown(kind: str) -> None:
    rng = random.Random(kind)
    for of, _context, secret, text in variants(11, 1):
        if of == kind:
            stream = RedactingStream()
            shown = "".join([*(stream.feed(chunk) for chunk in chunks(text, rng)), stream.close()])
            assert shown == redact(text)
            assert secret not in shown


def test_a_private_key_streamed_by_lines_is_never_shown() -> None:
    rng = random.Random(3)
    body = "\n".join(make("npm", rng)[4:] * 2 for _ in range(40))
    text = f"before\n-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\nafter\n"
    stream = RedactingStream()
    shown = "".join([*(stream.feed(text[at : at + 7]) for at in range(0, len(text), 7)), stream.close()])
    assert not any(line in shown for line in body.splitlines())
    assert shown.startswith("before\n")
    assert shown.endswith("after\n")


def test_a_stream_without_secrets_is_unchanged() -> None:
    text = "word " * 3000 + "x" * 9000 + "\n" + "loss: 0.5\n" * 200
    stream = RedactingStream()
    assert "".join([*(stream.feed(text[at : at + 97]) for at in range(0, len(text), 97)), stream.close()]) == text
