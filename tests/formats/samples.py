"""A sample file for each format, as its makers write it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "formats"

#: Sample file -> the format that it must be recognised as.
SAMPLES = {
    "plain": "plain",
    "ultrafeedback": "ultrafeedback",
    "ultrafeedback_binarized": "ultrafeedback_binarized",
    "argilla_binarized": "argilla_binarized",
    "trl": "trl",
    "trl-messages": "trl-messages",
    "trl-messages-implicit": "trl-messages",
    "trl-implicit": "trl-implicit",
    "hh-rlhf": "hh-rlhf",
    "alpaca": "alpaca",
    "sharegpt": "sharegpt",
    "distilabel": "distilabel",
    "orca": "orca",
    "nectar": "nectar",
    "helpsteer2": "helpsteer2",
    "helpsteer3": "helpsteer3",
    "arena": "arena",
    "arena-responses": "arena",
    "kto": "kto",
    "completions": "completions",
    "columns": "columns",
    "ultrafeedback-cleaned": "trl-messages",
    "versus": "versus",
    "versus-shp": "versus",
    "versus-webgpt": "versus",
    "versus-words": "versus",
}


def sample(name: str) -> Path:
    """The path of a sample file."""
    return FOLDER / f"{name}.jsonl"
