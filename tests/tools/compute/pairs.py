"""Broken runs and their valid twins, which differ in one detail that a rule must detect."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_intern.runs.preflight.inputs import EarlierRun
from ml_intern.runs.preflight.program import read_program
from ml_intern.runs.remote.measured import Gpu, MeasuredTarget, Partition
from tests.tools.compute.scripts import SFT, changed


@dataclass(frozen=True)
class Side:
    """One of the two: a script, and its differences from the default plan and facts."""

    script: str = SFT
    plan: Mapping[str, Any] = field(default_factory=dict[str, Any])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Pair:
    """A broken run that `rule` must refuse, and its valid twin, which no rule may refuse."""

    rule: str
    what: str
    fault: Side
    twin: Side = field(default_factory=Side)


A6000 = Gpu("NVIDIA RTX A6000", 49140, 8.6)
T4 = Gpu("Tesla T4", 15360, 7.5)
TORCH = "import torch\nprint(torch.ones(2))\n"
CUDA = 'import torch\nprint(torch.ones(2).to("cuda"))\n'
SHAPE = read_program(SFT).shape
FULL = changed((", peft_config=LoraConfig(r=8)", ""))
NO_PUSH = changed(("push_to_hub=True, hub_model_id", "hub_model_id"), ("trainer.push_to_hub()\n", ""))
DPO = changed(("SFTTrainer", "DPOTrainer"), ("SFTConfig", "DPOConfig"))
MAPPED = changed(('split="train")', 'split="train").map(lambda row: row)'))
EVAL = '# /// script\n# dependencies = ["transformers", "torch"]\n# ///\nimport torch\n'
LOAD = "from transformers import AutoModel\nmodel = AutoModel.from_pretrained({})\n"
TRIAL = {"backend": "local", "hardware": None, "secrets": ()}
FAST = changed(
    ("torch_dtype=torch.bfloat16", 'torch_dtype=torch.float16, attn_implementation="flash_attention_2"'),
    ("bf16", "fp16"),
)
HALF = changed(("torch.bfloat16", "torch.float16"), ("bf16=True", "fp16=True"))
FOUR_BITS = 'model = AutoModel.from_pretrained("org/big-70B", load_in_4bit=True)\n'


def saying(text: str, script: str = SFT, **plan: Any) -> Side:
    """Return a side whose facts contain this user text."""
    return Side(script, plan, {"user_text": text})


def with_model(name: str) -> str:
    """Return the script with another model."""
    return changed(("Qwen/Qwen2.5-1.5B", name))


def there(script: str = SFT, gpus_asked: str = "", **found: Any) -> Side:
    """Return a run on a target with these measurements. Fields of the plan go to the plan."""
    plan = {str(name): found.pop(name) for name in ("limit_s", "environment") if name in found}
    on = {
        "backend": "slurm" if "partition" in found else "ssh",
        "hardware": "box",
        "target": "box",
        "gpus": gpus_asked,
        "script": script,
    }
    return Side(script, {**on, **plan}, {"target": MeasuredTarget(time.time(), **{"gpus": (A6000,), **found})})


PAIRS = (
    Pair("script", "broken syntax", Side("", facts={"unreadable": "invalid syntax (line 3)"})),
    Pair("time_limit", "the default limit for a whole training", Side(facts={"limit_named": False})),
    Pair(
        "time_limit",
        "the default limit",
        Side(facts={"limit_named": False}),
        Side(changed(("default=-1", "default=20")), facts={"limit_named": False}),
    ),
    Pair(
        "time_limit",
        "too many rows for the limit",
        Side(plan={"limit_s": 600.0}, facts={"rows": {"trl-lib/Capybara": 900_000}}),
        Side(plan={"limit_s": 600.0}, facts={"rows": {"trl-lib/Capybara": 15_000}}),
    ),
    Pair(
        "time_limit",
        "steps given on the command line",
        Side(plan={"script_args": ("--max-steps", "900000")}),
        Side(plan={"script_args": ("--max-steps", "900")}),
    ),
    Pair(
        "time_limit",
        "the limit that ended it before",
        Side(
            facts={
                "earlier": (
                    EarlierRun("local", "succeeded", SHAPE),
                    EarlierRun("hub", "timeout", SHAPE, 7200.0, 7200.0),
                )
            }
        ),
        Side(
            facts={
                "earlier": (
                    EarlierRun("local", "succeeded", SHAPE),
                    EarlierRun("hub", "timeout", SHAPE, 3600.0, 3600.0),
                )
            }
        ),
    ),
    Pair("output", "nothing is pushed", Side(NO_PUSH)),
    Pair(
        "output",
        "push_to_hub=False",
        Side(changed(("push_to_hub=True", "push_to_hub=False"), ("trainer.push_to_hub()\n", ""))),
        Side(
            NO_PUSH
            + 'from huggingface_hub import upload_folder\nupload_folder(repo_id="me/tuned", folder_path="out")\n'
        ),
    ),
    Pair("output", "a push without the token", Side(plan={"secrets": ()})),
    Pair(
        "output",
        "saved behind the wall where it is lost",
        Side(NO_PUSH.replace('"out"', '"/tmp/out"'), TRIAL, {"sandboxed": True}),
        Side(NO_PUSH, TRIAL, {"sandboxed": True}),
    ),
    Pair(
        "output",
        "an upload by the command line program",
        Side(NO_PUSH + 'import subprocess\nsubprocess.run(["ls", "out"])\n'),
        Side(NO_PUSH + 'import subprocess\nsubprocess.run(["hf", "upload", "me/tuned", "out"])\n'),
    ),
    Pair(
        "columns",
        "DPO on conversations",
        Side(DPO),
        Side(DPO.replace("trl-lib/Capybara", "trl-lib/ultrafeedback_binarized")),
    ),
    Pair(
        "columns",
        "SFT on question and answer",
        Side(facts={"columns": {"trl-lib/Capybara": ("question", "answer")}}),
        Side(MAPPED, facts={"columns": {"trl-lib/Capybara": ("question", "answer")}}),
    ),
    Pair(
        "columns",
        "a text column with another name",
        Side(facts={"columns": {"trl-lib/Capybara": ("content",)}}),
        Side(
            changed(("bf16=True", 'bf16=True, dataset_text_field="content"')),
            facts={"columns": {"trl-lib/Capybara": ("content",)}},
        ),
    ),
    Pair(
        "columns",
        "GRPO without a prompt",
        Side(changed(("SFTTrainer", "GRPOTrainer"), ("SFTConfig", "GRPOConfig"))),
        Side(
            changed(
                ("SFTTrainer", "GRPOTrainer"),
                ("SFTConfig", "GRPOConfig"),
                ('split="train")', 'split="train").rename_column("source", "prompt")'),
            )
        ),
    ),
    Pair("imports", "a package that is not declared", Side(SFT + "import wandb\n"), Side(SFT + "import json\n")),
    Pair(
        "imports",
        "sklearn under its other name",
        Side(SFT + "from sklearn.metrics import f1_score\n"),
        Side(changed(('"peft"', '"peft", "scikit-learn"')) + "from sklearn.metrics import f1_score\n"),
    ),
    Pair(
        "imports",
        "an optional import",
        Side(SFT + "import flash_attn\n"),
        Side(SFT + "try:\n    import flash_attn\nexcept ImportError:\n    flash_attn = None\n"),
    ),
    Pair(
        "imports",
        "a module of the workspace",
        Side(SFT + "from my_metrics import score\n", facts={"local_modules": frozenset({"my_metrics"})}),
        Side(SFT + "from my_metrics import score\n", TRIAL, {"local_modules": frozenset({"my_metrics"})}),
    ),
    Pair(
        "imports",
        "an image that lacks them",
        Side(
            "import torch\nimport peft\n",
            {"image": "pytorch/pytorch:2.6.0-cuda12.4", "command": ("python", "train.py")},
        ),
        Side(
            "import torch\nimport peft\n",
            {"image": "pytorch/pytorch:2.6.0-cuda12.4", "command": ("sh", "-c", "pip install peft && python train.py")},
        ),
    ),
    Pair("precision", "bf16 on a T4", Side(plan={"hardware": "t4-small"}), Side(HALF, {"hardware": "t4-small"})),
    Pair("precision", "flash attention on a T4", Side(FAST, {"hardware": "t4-medium"}), Side(FAST)),
    Pair(
        "precision",
        "fp16 without a GPU",
        Side(HALF, {"hardware": "cpu-upgrade"}),
        Side(changed(("bf16=True, ", "")), {"hardware": "cpu-upgrade"}),
    ),
    Pair(
        "precision",
        "cuda without a GPU",
        Side(EVAL + LOAD.format('"bert-base-uncased"') + 'model.to("cuda")\n', {"hardware": "cpu-basic"}),
        Side(
            EVAL + LOAD.format('"bert-base-uncased"') + 'model.to("cuda" if torch.cuda.is_available() else "cpu")\n',
            {"hardware": "cpu-basic"},
        ),
    ),
    Pair(
        "memory", "7B in full on 24 GB", Side(changed(("1.5B", "7B"), text=FULL)), Side(with_model("Qwen/Qwen2.5-7B"))
    ),
    Pair(
        "memory",
        "7B in full on 24 GB",
        Side(changed(("1.5B", "7B"), text=FULL)),
        Side(changed(("1.5B", "7B"), text=FULL), {"hardware": "h100"}),
    ),
    Pair(
        "memory",
        "a size that only the Hub tells",
        Side(with_model("org/huge"), facts={"parameters": {"org/huge": 70_000_000_000}}),
        Side(with_model("org/huge"), facts={"parameters": {"org/huge": 1_000_000_000}}),
    ),
    Pair(
        "memory",
        "weights alone, in full precision",
        Side(EVAL + LOAD.format('"org/big-70B"'), {"hardware": "l40sx1"}),
        Side(EVAL + "from transformers import AutoModel\n" + FOUR_BITS, {"hardware": "l40sx1"}),
    ),
    Pair(
        "local_path",
        "a data file of this machine",
        Side(
            changed(('"trl-lib/Capybara"', '"json", data_files="data/train.jsonl"')),
            facts={"local_paths": frozenset({"data/train.jsonl"})},
        ),
    ),
    Pair(
        "local_path",
        "a script that is not sent along",
        Side("", {"command": ("bash", "-c", "python train.py --lr 1e-4")}, {"local_paths": frozenset({"train.py"})}),
        Side("", {"command": ("bash", "-c", "python -m trl sft --lr 1e-4")}, {"local_paths": frozenset({"train.py"})}),
    ),
    Pair(
        "local_path",
        "a path of somebody's home",
        Side(with_model("/home/ada/models/tiny")),
        Side(with_model("ada/tiny"), facts={"local_paths": frozenset({"out"})}),
    ),
    Pair(
        "local_path",
        "a config on the command line",
        Side(plan={"script_args": ("--config", "conf.yaml")}, facts={"local_paths": frozenset({"conf.yaml"})}),
        Side(plan={"script_args": ("--config", "conf.yaml"), **TRIAL}, facts={"local_paths": frozenset({"conf.yaml"})}),
    ),
    Pair(
        "local_path",
        "a path that is read, not one that is made",
        Side(
            SFT + 'from pathlib import Path\nrows = (Path("data") / "rows.txt").read_text()\n',
            facts={"local_paths": frozenset({"data", "data/rows.txt"})},
        ),
        Side(
            SFT
            + 'import pathlib\nplace = pathlib.Path("made")\nplace.mkdir(exist_ok=True)\nopen(place / "a").read()\n',
            facts={"local_paths": frozenset({"made", "made/a"})},
        ),
    ),
    Pair(
        "local_path",
        "a file it does not write itself",
        Side(SFT + 'open("notes.txt").read()\n', facts={"local_paths": frozenset({"notes.txt"})}),
        Side(
            SFT + 'open("notes.txt", "w").write("x")\nopen("notes.txt").read()\n',
            facts={"local_paths": frozenset({"notes.txt"})},
        ),
    ),
    Pair("smoke", "never run", Side(facts={"earlier": ()}), Side(plan={**TRIAL}, facts={"earlier": ()})),
    Pair("smoke", "a failed smoke run", Side(facts={"earlier": (EarlierRun("local", "failed", SHAPE),)})),
    Pair(
        "smoke",
        "another script since",
        Side(SFT + "print(1)\n", facts={"earlier": (EarlierRun("local", "succeeded", SHAPE),)}),
        Side(with_model("Qwen/Qwen2.5-3B"), facts={"earlier": (EarlierRun("local", "succeeded", SHAPE),)}),
    ),
    Pair(
        "one_first",
        "a second job while the first has not shown that it works",
        Side(facts={"earlier": (EarlierRun("local", "succeeded", SHAPE), EarlierRun("hub", "running", SHAPE))}),
        Side(
            facts={
                "earlier": (
                    EarlierRun("local", "succeeded", SHAPE),
                    EarlierRun("hub", "succeeded", SHAPE),
                    EarlierRun("hub", "running", SHAPE),
                )
            }
        ),
    ),
    Pair("secrets", "a key in the environment", Side(plan={"environment": {"WANDB_API_KEY": "0123456789abcdef0123"}})),
    Pair(
        "secrets",
        "a token as a plain variable",
        Side(plan={"environment": {"WHATEVER": "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7xY9zA2cD4f"}}),
        Side(plan={"environment": {"PAD_TOKEN": "<|endoftext|>", "MAX_TOKENS": "4096"}}),
    ),
    Pair("secrets", "a token in the script", Side(SFT + 'login(token="hf_' + 'aB3dE5gH7jK9mN1pQ3sT5vW7xY9zA2cD4f")\n')),
    Pair(
        "substitution",
        "another model than the id named",
        saying("fine-tune meta-llama/Llama-3.2-1B"),
        saying("fine-tune Qwen/Qwen2.5-1.5B"),
    ),
    Pair("substitution", "another family", saying("fine-tune llama on my data"), saying("fine-tune qwen on my data")),
    Pair("substitution", "another size", saying("train the 7B qwen"), saying("train the 1.5B qwen on 20M tokens")),
    Pair(
        "substitution",
        "another dataset than the id named",
        saying("use HuggingFaceH4/no_robots and Qwen/Qwen2.5-1.5B"),
        saying("tune it on trl-lib/Capybara, and push to me/tuned"),
    ),
    Pair(
        "substitution",
        "another dataset by its word",
        saying("fine-tune on imdb", changed(("trl-lib/Capybara", "org/alpaca-clean"))),
        saying("fine-tune on capybara"),
    ),
    Pair(
        "substitution",
        "a stand-in for the whole training",
        saying("fine-tune meta-llama/Llama-3.2-1B", backend="local"),
        saying("fine-tune meta-llama/Llama-3.2-1B", backend="local", script_args=("--max-steps", "5")),
    ),
    Pair(
        "partition",
        "a limit over that of the partition",
        there(partition=Partition(3600.0)),
        there(limit_s=1800.0, partition=Partition(3600.0)),
    ),
    Pair("disk", "a model larger than the free space", there(free=2_000_000_000), there(free=9_000_000_000)),
    Pair("disk", "a full disk", there("import json", free=1_000), there("import json", free=3 << 30)),
    Pair("internet", "a download without internet", there(internet=False), there(internet=True)),
    Pair(
        "internet",
        "a download without internet, and one from the cache",
        there(internet=False),
        there(internet=False, environment={"HF_HUB_OFFLINE": "1"}),
    ),
    Pair("cuda", "a machine without torch", there(TORCH, torch=""), there(TORCH, torch="2.4.0")),
    Pair(
        "cuda",
        "a torch for a later CUDA than the driver's",
        there(TORCH, torch="2.9.0", torch_cuda="13.0", driver_cuda="12.4"),
        there(TORCH, torch="2.4.0", torch_cuda="12.6", driver_cuda="12.4"),
    ),
    Pair("precision", "bfloat16 on an old GPU of a machine", there(gpus=(T4,)), there(gpus=(A6000,))),
    Pair("precision", "cuda on a machine without a GPU", there(CUDA, gpus=()), there(CUDA, gpus=(T4,))),
    Pair(
        "precision",
        "cuda in a job without GPUs",
        there(CUDA, partition=Partition(gres="gpu:a100:4")),
        there(CUDA, partition=Partition(gres="gpu:a100:4(S:0-1)"), gpus_asked="2"),
    ),
    Pair(
        "memory",
        "a model for four GPUs on one",
        there(with_model("org/big-70B"), gpus=(A6000,)),
        there(with_model("org/big-70B"), gpus=(A6000,) * 4),
    ),
)
