"""How many planted near-duplicates are found, and how many other texts are taken for one.

`python -m tests.bench.near_duplicates FILE...`: each record gets a twin with an edit and the opposite label; a pair is found
where both are told to be opposite duplicates. The last lines are edits that ask (or say) something else: none should be found.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from typing import Any

from argilla_admap.formats import registry
from argilla_admap.mapping.data_map import build_map
from tests.mapping.plain import scored_stream

Edit = Callable[[str, random.Random], str]


def slip(text: str, rng: random.Random) -> str:
    """A letter left out, doubled or exchanged with its neighbour, inside a word of five letters or more."""
    words = list(re.finditer(r"[A-Za-z]{5,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    kind = rng.randrange(3)
    return (
        text[:at] + ("" if kind == 0 else text[at] * 2 if kind == 1 else text[at + 1] + text[at]) + text[at + 1 + (kind == 2) :]
    )


def polite(text: str, rng: random.Random) -> str:
    return rng.choice(["Please ", "Can you tell me: ", "Hi! "]) + text


def article(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\b(the|a|an|is|of)\b ", text))
    gone = rng.choice(found) if found else None
    return text[: gone.start()] + text[gone.end() :] if gone else text


def marks(text: str, rng: random.Random) -> str:
    return re.sub(r"[,.;:!?]", "", text).upper().replace(" ", "  ")


def layout(text: str, rng: random.Random) -> str:
    return re.sub(r"\n+", "\n", text.replace("**", "").replace(", ", " ")).rstrip(".")


def without_a_word(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\b[a-z]{3,}\b ?", text))
    gone = rng.choice(found) if found else None
    return text[: gone.start()] + text[gone.end() :] if gone else text


def another_word(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\b[a-zA-Z]{5,}\b", text))
    if not found:
        return text
    word = rng.choice(found)
    other = rng.choice(["giraffe", "Portugal", "bicycle", "winter", "contract", "Beethoven"])
    return text[: word.start()] + other + text[word.end() :]


def another_number(text: str, rng: random.Random) -> str:
    return re.sub(r"\d", lambda m: str((int(m[0]) + 3) % 10), text, count=1)


def negation(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\b(is|are|can|should|will)\b", text))
    word = rng.choice(found) if found else None
    return text[: word.end()] + " not" + text[word.end() :] if word else text


ALIKE: dict[str, Edit] = {"slip": slip, "polite": polite, "article": article, "marks": marks, "without a word": without_a_word}
OTHER: dict[str, Edit] = {"another word": another_word, "another number": another_number, "negation": negation}
ANSWERS: dict[str, Edit] = {"slip": slip, "layout": layout, "without a word": without_a_word}
LENGTHS = (("under 10 words", 0, 10), ("10 to 30", 10, 31), ("31 to 100", 31, 101), ("more", 101, 10**9))


def twins(rows: list[dict[str, Any]], edit: Edit, *, answers: bool, seed: int = 0) -> list[tuple[int, bool]]:
    """Words of the edited text, and whether the pair is found, of each record that the edit changes."""
    rng = random.Random(seed)
    made: list[Any] = []
    words: list[Any] = []
    for row in rows:
        first, second = row["completions"]
        prompt, texts = row["prompt"], [first["text"], second["text"]]
        before = [prompt, *texts]
        if answers:
            texts[1] = edit(texts[1], rng)
        else:
            prompt = edit(prompt, rng)
        if [prompt, *texts] == before:
            continue
        twin = [{"text": text, "rating": rating} for text, rating in zip(texts, (0.0, 1.0), strict=True)]
        original = [{"text": text, "rating": rating} for text, rating in zip(before[1:], (1.0, 0.0), strict=True)]
        made += [
            {"id": f"a{len(made)}", "prompt": row["prompt"], "completions": original},
            {"id": f"b{len(made)}", "prompt": prompt, "completions": twin},
        ]
        words.append(len((second["text"] if answers else row["prompt"]).split()))
    issues = build_map(scored_stream(made)).frame["issues"].tolist()
    both = ["opposite_duplicate" in a and "opposite_duplicate" in b for a, b in zip(issues[::2], issues[1::2], strict=True)]
    return list(zip(words, both, strict=True))


def main() -> None:
    for path in sys.argv[1:]:
        rows, seen = [], set()
        for row in registry.read(path).records():
            key = (row.prompt, row.completions)
            if len(row.completions) == 2 and row.completions[0] != row.completions[1] and row.prompt and row.prompt not in seen:
                seen.add(row.prompt)
                rows.append({"prompt": key[0], "completions": [{"text": text} for text in row.completions]})
        rows = rows[:3000]
        print(f"{path}: {len(rows):,} records")
        for title, edits, answers in (
            ("prompt", ALIKE, False),
            ("completion", ANSWERS, True),
            ("NOT alike: prompt", OTHER, False),
        ):
            for name, edit in edits.items():
                found = twins(rows, edit, answers=answers)
                parts = []
                for label, low, high in LENGTHS:
                    some = [both for words, both in found if low <= words < high]
                    if some:
                        parts.append(f"{label} {sum(some) / len(some):.3f} of {len(some):,}")
                print(f"  {title}, {name}: " + "; ".join(parts), flush=True)
        found = twins(rows, another_number, answers=True)
        share = sum(both for _, both in found) / max(len(found), 1)
        print(f"  NOT alike: completion, another number: {share:.3f} of {len(found):,}")


if __name__ == "__main__":
    main()
