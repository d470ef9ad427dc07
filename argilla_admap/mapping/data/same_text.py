"""Whether two texts are the same but for a typo or a polite word: compared word by word, for the few pairs in question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from sys import intern

__all__ = ["CompareBudget", "Words", "same_answer", "same_question"]

#: A number; a word; a sign that changes a question; a letter of a script without blanks between words.
_UNSPACED = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
#: A star is a sign between factors; elsewhere it marks a list or bold words.
_TIMES = r"(?<=[\w)\]])\*(?=[\w(\[])|(?<=[\w)\]] )\*(?= [\w(\[])"
_TOKEN = re.compile(rf"\d+(?:[.,]\d+)*|[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+(?:['’][^\W\d_]+)*|[+/=<>^%]|{_TIMES}")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words with and without which a question is the same.
_FILLERS = _set(
    """a an the please pls kindly tell me us say so well ok okay hi hello hey dear thanks thank you your my our i we can could
    would will do does is are be was were am of just also then and that this it its here there given following now help"""
)
#: Words that change a question: none of them may be in one text only.
_DECISIVE = _set(
    """not no never none nor without except unless isn't aren't don't doesn't didn't can't cannot won't wouldn't shouldn't only
    who what when where why how which whose more less most least best worst first last before after above below over under up
    down left right true false same different opposite all any some both either neither with from to into out in on off he she
    his her him man woman male female"""
)
#: Shorter words differ from too many other words by one letter.
_LEAST_LETTERS = 5
#: Prompts that share this many content words may differ in one; in longer ones, in one of ten.
_SHARED = 4
_FEW = 0.1
#: From this many content words on, one in this many may be replaced (not a name); in an answer, which one word can make wrong,
#: from `_SHARED` times as many.
_LONG = 40
#: Places with equal words that one pair may have.
_MOST_PLACES = 2_000_000


@dataclass(frozen=True, slots=True)
class Words:
    """A text as it is compared.

    Attributes:
        content: its words in lower case, in order; without fillers, unless they are asked for.
        names: those of them that are written with a capital inside a sentence.
        counted: its numbers and signs, in order.
    """

    content: tuple[str, ...]
    names: frozenset[str]
    counted: tuple[str, ...]

    @classmethod
    def of(cls, text: str, *, fillers: bool = False) -> Words:
        """Reads a text: a question without `fillers`, which do not change it; an answer with them."""
        content, names, counted = [], set(), []
        for match in _TOKEN.finditer(text):
            token = match[0]
            if not token[0].isalpha():
                counted.append(token)
                continue
            # Each word is held once, however many texts have it.
            word = intern(token.lower().replace("’", "'").removesuffix("'s"))
            if token[0].isupper() and text[: match.start()].rstrip(" \"'(*_")[-1:] not in ("", ".", "?", "!", ":", "\n"):
                names.add(word)
            if fillers or word not in _FILLERS:
                content.append(word)
        return cls(tuple(content), frozenset(names), tuple(counted))


class CompareBudget:
    """How many places with equal words may still be compared, over all pairs: texts of few different words have very many."""

    def __init__(self, places: int = 100_000_000) -> None:
        self.left = places

    def take(self, first: Sequence[str], second: Sequence[str]) -> bool:
        """Whether two texts may be compared; takes their places off the budget."""
        count = Counter(second)
        places = sum(count[word] for word in first)
        if places > min(_MOST_PLACES, self.left):
            return False
        self.left -= places
        return True


def same_question(a: Words, b: Words, *, strictly: bool = False, budget: CompareBudget | None = None) -> bool:
    """Whether two prompts with the same completions ask the same, as far as their words tell.

    Polite words, articles and typos inside a word do not count. Another number, sign or name does, and so does a word that
    changes the question: "the capital of France" is not "the capital of Italy".

    Args:
        strictly: allow no other difference. Else a word may be missing in one of them, and in long prompts be replaced.
        budget: for all pairs; where it is used up, only equal words count as the same.
    """
    return _same(a, b, strictly, _LONG, budget or CompareBudget())


def same_answer(a: Words, b: Words, *, strictly: bool, budget: CompareBudget | None = None) -> bool:
    """Whether two completions of one prompt are the same but for typos and, if not `strictly`, a few words."""
    return _same(a, b, strictly, _SHARED * _LONG, budget or CompareBudget())


def _same(a: Words, b: Words, strictly: bool, long: int, budget: CompareBudget) -> bool:
    if a.counted != b.counted:
        return False
    if a.content == b.content:
        # Texts of punctuation and fillers alone have nothing to compare.
        return bool(a.content or a.counted)
    first, second = a.content, b.content
    least = min(len(first), len(second))
    most = max(1, int(_FEW * least))
    if abs(len(first) - len(second)) > most:
        return False
    start = next((i for i, (x, y) in enumerate(zip(first, second, strict=False)) if x != y), least)
    end = next((i for i in range(least - start) if first[-1 - i] != second[-1 - i]), least - start)
    first, second = first[start : len(first) - end], second[start : len(second) - end]
    # Too much differs between the first and the last difference to be worth aligning the words.
    if (Counter(first) - Counter(second)).total() > 2 * most or not budget.take(first, second):
        return False
    removed: list[str] = []
    added: list[str] = []
    replaced = 0
    for kind, i, j, k, m in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        left, right = first[i:j], second[k:m]
        if kind == "equal" or (len(left) == len(right) and all(_typo(x, y) for x, y in zip(left, right, strict=True))):
            continue
        # Two words run together, or one split.
        if "".join(left) == "".join(right):
            continue
        removed += left
        added += right
        replaced += min(len(left), len(right))
    if not removed and not added:
        return True
    changed = {*removed, *added}
    if strictly or changed & _DECISIVE or changed & (a.names | b.names):
        return False
    if Counter(removed) == Counter(added):
        # Another order of few words can change who does what to whom.
        return least >= 2 * _SHARED and len(removed) <= most
    if replaced and (least < long or replaced > least // long):
        return False
    return least >= _SHARED and max(len(removed), len(added)) <= most


def _typo(a: str, b: str) -> bool:
    """Whether one word is the other with a typo inside (a letter wrong, missing, doubled, or swapped with the next), or its
    plural."""
    if a == b:
        return True
    if len(a) > len(b):
        a, b = b, a
    if len(a) >= _LEAST_LETTERS - 1 and b == a + "s":
        return True
    if len(a) < _LEAST_LETTERS - 1 or len(b) < _LEAST_LETTERS or len(b) - len(a) > 1 or a[0] != b[0] or a[-1] != b[-1]:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) != len(b):
        return a[start:] == b[start + 1 :]
    exchanged = a[start : start + 2] == b[start : start + 2][::-1] and a[start + 2 :] == b[start + 2 :]
    return exchanged or a[start + 1 :] == b[start + 1 :]
