"""One row, value by value: conversations, prompts, ratings, verdicts, and what was left out."""
