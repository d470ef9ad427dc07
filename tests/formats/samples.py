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
    "argilla-export": "argilla-export",
    "argilla-export-ratings": "argilla-export",
    "argilla-export-records": "argilla-export",
    "argilla-export-v1": "argilla-export",
    "argilla_binarized-system": "argilla_binarized",
    "arena-field-name": "arena",
    "completions-parts": "completions",
    "completions-rank": "completions",
    "completions-score": "completions",
    "completions-score-parts": "completions",
    "distilabel-input": "distilabel",
    "distilabel-rank": "distilabel",
    "distilabel-rewards": "distilabel",
    "kto-messages": "kto",
    "kto-tag": "kto",
    "label-studio": "label-studio",
    "ms-swift": "ms-swift",
    "ms-swift-messages": "ms-swift",
    "openai-dpo": "openai-dpo",
    "pair-lists": "pair-lists",
    "pair-lists-three": "pair-lists",
    "stack-exchange-paired": "stack-exchange-paired",
    "trl-messages-json-text": "trl-messages",
    "trl-messages-parts": "trl-messages",
    "trl-messages-python-text": "trl-messages",
    "trl-messages-tools": "trl-messages",
    "trl-system": "trl",
    "versus-alpaca-farm": "versus",
    "versus-alpacaeval": "versus",
    "versus-auto-j": "versus",
    "versus-boolean": "versus",
    "versus-brackets": "versus",
    "versus-field-name": "versus",
    "versus-judgebench": "versus",
    "versus-label-studio-min": "versus",
    "versus-llmbar": "versus",
    "versus-numbered-words": "versus",
    "versus-pandalm": "versus",
    "versus-ranks": "versus",
    "versus-soft": "versus",
    "versus-strength": "versus",
}


def sample(name: str) -> Path:
    """The path of a sample file."""
    return FOLDER / f"{name}.jsonl"
