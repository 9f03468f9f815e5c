"""The script of a whole piece of work: from a question to a trained model on the Hub, with what its services hold."""

from typing import Any

from tests.fakes.github import GitHub
from tests.fakes.hub import FakeHub

QUESTION = (
    "Which published recipe trains a review classifier without a GPU, and does it beat the majority class on "
    "org/reviews? Train it here and keep the model, with its card and metrics, in my namespace."
)
PAPER = "2412.00777"
RECIPE = """# Small linear models for reviews

A linear model on words is a strong baseline.

## 3 Method

A logistic regression on bags of words.

### 3.2 Training

We train with plain SGD, a learning rate of 0.5, for 12 epochs, with seed 13 and no regularisation.
"""
EXAMPLE = b"# Train a linear classifier\nfor epoch in range(epochs):\n    ...\n"
GOOD, BAD = ("fine great lovely happy superb", "awful poor broken sad useless")
TRAIN_SCRIPT = '''
"""Logistic regression on bags of words, as in arXiv:2412.00777, section 3.2."""
import json, math, random
from collections import Counter
from pathlib import Path

LEARNING_RATE, EPOCHS, SEED = 0.5, 12, 13

def rows(split):
    return [json.loads(line) for line in Path(f"data/default/{split}.jsonl").read_text().splitlines()]

def score(weights, text):
    return 1 / (1 + math.exp(-sum(weights.get(word, 0.0) for word in text.split())))

train, test = rows("train"), rows("test")
weights, order = {}, random.Random(SEED)
for _ in range(EPOCHS):
    order.shuffle(train)
    for row in train:
        step = LEARNING_RATE * (row["label"] - score(weights, row["text"]))
        for word in row["text"].split():
            weights[word] = weights.get(word, 0.0) + step
right = sum((score(weights, row["text"]) >= 0.5) == bool(row["label"]) for row in test)
majority = max(Counter(row["label"] for row in test).values())
metrics = {"accuracy": right / len(test), "majority": majority / len(test), "test_rows": len(test)}
Path("out").mkdir(exist_ok=True)
Path("out/model.json").write_text(json.dumps(weights))
Path("out/metrics.json").write_text(json.dumps(metrics))
Path("out/train.py").write_text(Path("train.py").read_text())
print("accuracy", metrics["accuracy"], "majority", metrics["majority"])
'''.lstrip()
CARD = """---
license: apache-2.0
datasets: [org/reviews]
metrics: [accuracy]
tags: [text-classification]
---

# Review classifier

A logistic regression on bags of words, trained on org/reviews with the recipe of arXiv:2412.00777, section 3.2: SGD,
learning rate 0.5, 12 epochs, seed 13. The script is train.py; it needs nothing but Python.

Accuracy on the 40 rows of the test split: ${result:accuracy ([\\d.]+)}; always guessing the larger class is right in
${result:majority ([\\d.]+)}. The numbers are in metrics.json.

Limits: the reviews are short and made of few words; other texts were not tried.
"""


def call(name: str, **args: Any) -> dict[str, Any]:
    """A tool call of a reply."""
    return {"name": name, "args": args}


CHILD = [
    {"tool_calls": [call("papers", operation="search", query="linear reviews")]},
    {"tool_calls": [call("papers", operation="read", paper=PAPER)], "expect": PAPER},
    {"tool_calls": [call("papers", operation="read", paper=PAPER, section="3.2")], "expect": "3.2 Training"},
    {
        "text": f"- The recipe is plain SGD, learning rate 0.5, 12 epochs, seed 13 [arXiv:{PAPER}, section 3.2]\n"
        f"- It is a logistic regression on bags of words [arXiv:{PAPER}, section 3]",
        "expect": "learning rate of 0.5",
    },
]
MAIN = [
    {
        "text": "First what is published.",
        "tool_calls": [
            call("research", question="Which recipe trains a linear review classifier on a CPU: rate, epochs, seed?"),
            call("datasets", operation="inspect", dataset="org/reviews"),
            call("github", operation="examples", repository="org/linear", query="train classifier"),
        ],
    },
    {
        "expect": "learning rate 0.5, 12 epochs",
        "tool_calls": [
            call("github", operation="read", repository="org/linear", path="examples/train_classifier.py"),
            call("hub_repos", operation="download", repo="org/reviews", type="dataset", local="data"),
        ],
    },
    {"tool_calls": [call("write", path="train.py", content=TRAIN_SCRIPT)]},
    {"tool_calls": [call("bash", command="python3 train.py")]},
    {"expect": "accuracy", "tool_calls": [call("write", path="out/README.md", content=CARD)]},
    {"tool_calls": [call("hub_repos", operation="upload", repo="review-classifier", local="out", message="Train")]},
    {"tool_calls": [call("hub_repos", operation="list", repo="ada/review-classifier")]},
    {"expect": "metrics.json", "text": "It is at ada/review-classifier: accuracy ${result:accuracy ([\\d.]+)}."},
]


def fill(hub: FakeHub, github: GitHub) -> None:
    """Put the paper, the dataset and the example where the script looks for them."""
    hub.papers[PAPER] = {"id": PAPER, "title": "Small linear models for reviews", "summary": "", "markdown": RECIPE}
    hub.add("datasets", "org/reviews", {"README.md": "---\nlicense: mit\n---\n# Reviews\n"})
    hub.add_dataset("org/reviews", {"train": _rows(160), "test": _rows(40)}, labels={"label": ["bad", "good"]})
    github.files["org/linear"] = {"examples/train_classifier.py": EXAMPLE, "setup.py": b""}


def _rows(count: int) -> list[dict[str, Any]]:
    kinds = (BAD.split(), GOOD.split(), GOOD.split())
    return [
        {"text": f"{kinds[n % 3][n % 5]} thing {kinds[n % 3][(n // 5) % 5]}", "label": int(n % 3 > 0)}
        for n in range(count)
    ]
