"""Training scripts for the preflight checks: a valid one, and functions that introduce errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.inputs import EarlierRun, PreflightInputs
from ml_intern.runs.preflight.program import read_program

SFT = '''# /// script
# dependencies = ["trl>=0.20", "peft"]
# ///
"""Fine-tunes a model."""
import argparse

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="Qwen/Qwen2.5-1.5B")
parser.add_argument("--max-steps", type=int, default=-1)
args = parser.parse_args()
MODEL = args.model
model = AutoModelForCausalLM.from_pretrained(MODEL, torch_dtype=torch.bfloat16)
data = load_dataset("trl-lib/Capybara", split="train")
config = SFTConfig(output_dir="out", bf16=True, max_steps=args.max_steps, push_to_hub=True, hub_model_id="me/tuned")
trainer = SFTTrainer(model=model, args=config, train_dataset=data, peft_config=LoraConfig(r=8))
trainer.train()
trainer.push_to_hub()
'''
"""Valid on an A10G with HF_TOKEN, a limit of two hours, and a smoke run."""

COLUMNS = {"trl-lib/Capybara": ("source", "messages"), "trl-lib/ultrafeedback_binarized": ("chosen", "rejected")}
ROWS = {"trl-lib/Capybara": 15_806}


def changed(*swaps: tuple[str, str], text: str = SFT) -> str:
    """Return the script with each text replaced; every text must occur."""
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new)
    return text


def planned(**given: Any) -> RunPlan:
    """Return the plan of a two-hour A10G job with HF_TOKEN, with the given differences."""
    usual: dict[str, Any] = {
        "backend": "hub",
        "display": "train.py",
        "workdir": Path("/ws"),
        "hardware": "a10g-small",
        "secrets": ("HF_TOKEN",),
        "limit_s": 7200.0,
    }
    return RunPlan(**{**usual, **given})


def known(script: str, plan: RunPlan, **given: Any) -> PreflightInputs:
    """Return inputs about the script after one successful local run, with the given differences."""
    program = read_program(script, plan.script_args, plan.environment) if script else None
    shape = program.shape if program else ""
    usual: Mapping[str, Any] = {
        "program": program,
        "columns": COLUMNS,
        "rows": ROWS,
        "earlier": (EarlierRun("local", "succeeded", shape, 60.0, 600.0),),
    }
    return PreflightInputs(**{**usual, **given})
