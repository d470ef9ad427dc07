"""What a verdict's values mean: which completion is better, a tie, or both bad; and how a new verdict is written."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames, RowError, TieCannotBeSaid
from argilla_admap.formats.values import number, seen, shorten, written_like

__all__ = ["BOTH_BAD", "TIE", "VerdictScale", "infer_scale"]

TIE = "tie"
BOTH_BAD = "both_bad"
_LETTERS = string.ascii_lowercase
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_NOTHING = frozenset({"", "n/a", "na", "none", "null", "nan"})
_TIES = frozenset(
    {
        *("tie", "tied", "ties", "equal", "equally good", "same", "both", "both good", "draw", "neutral", "no preference"),
        *("about the same", "a=b", "b=a", "a==b", "equivalent", "no difference"),
    }
)
_BOTH_BAD = frozenset(
    {
        *("both bad", "bothbad", "both are bad", "equally bad", "neither", "neither is good", "tie (bothbad)", "tie bothbad"),
        *("tie (both bad)", "tie both bad", "both wrong", "all bad"),
    }
)
#: "A-is-slightly-better", "Response B is a bit better", "response 1 is much better than response 2", "a wins"
_BETTER = re.compile(r"(.+?) (?:is )?(?:a (?:bit|little|lot) |[a-z]{2,} )*(?:better|best|preferred|wins?|won)\b.*")
_COMPARED = re.compile(r"(.+?) ?(>{1,3}|<{1,3}|=|≈|~=?|≻) ?(.+)")
_NOUNS = "model|response|answer|completion|output|option|assistant|candidate|text|generation|summary|reply|chat|conversation"
#: Of more digits a number names no completion, and of very many Python makes none.
_WHOLE = r"(?<![0-9])[0-9]{1,9}(?![0-9])"
_NOUN = re.compile(rf"(?:the )?(?:{_NOUNS}|side|human ref) ?#?([a-h]|{_WHOLE})")


def _plain(value: str) -> str:
    """A value's words without case, brackets and the marks between words."""
    text = value.strip().lower()
    text = re.sub(r"^[\[(<\"'*]+|[\])>\"'*.]+$", "", text) if "(" not in text[1:] else text
    return re.sub(r"[\s_\-]+", " ", text).strip()


@dataclass(frozen=True, slots=True)
class VerdictScale:
    """The meaning of one field's values, for a whole file.

    Attributes:
        name: the field.
        fields: the completions' fields, by which a value may name them.
        ends: numbers for the first and the last completion; between the two of a pair, the preference is partial.
        strength: the ends are opposite strengths, and 0 is no preference.
        given: plain value -> outcome (a letter, tie, both_bad), of values whose meaning was given.
        written: outcome -> the value as this file writes it, of values that were seen or given.
        half_is_tie: a number in the middle of the ends can be written for a tie.
        start: the number of the first completion in words such as "Response 1".
        absent: the data have no verdict; a new one is written into this field.
    """

    name: str
    fields: tuple[str, ...]
    ends: tuple[float, float] | None = None
    strength: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, object] = field(default_factory=dict)
    half_is_tie: bool = False
    start: int = 1
    absent: bool = False

    @property
    def k(self) -> int:
        return len(self.fields)

    def describe(self) -> str:
        """In plain words, what the values mean."""
        if self.absent:
            return "there is no label"
        taken = {}
        if self.ends is not None:
            taken = {f"{self.ends[0]:g}": "a", f"{self.ends[1]:g}": _LETTERS[self.k - 1]}
        taken |= {f"{value:g}" if isinstance(value, float) else str(value): o for o, value in self.written.items()}
        taken |= {value: o for value, o in self.given.items() if o in self.written}
        said = [f"{shorten(value)[1:-1]} is taken as: {_outcome_words(o, self.k)}" for value, o in taken.items()]
        said += ["0 is taken as: no preference"] if self.strength else []
        guess = "; if not so, say what they mean with `verdict_values`" if self.ends is not None and not self.given else ""
        return f"the verdict is `{self.name}`: {', '.join(said)}{guess}" if said else f"the verdict is `{self.name}`"

    def ratings(self, value: object, models: Sequence[str | None] = (), texts: Sequence[str] = ()) -> tuple[float | None, ...]:
        """The ratings that a value gives the completions: 1 for the better, 0 for the others, 0.5 each for a tie.

        Raises:
            RowError: the value says none of it.
        """
        if (
            value is None
            or (isinstance(value, float) and math.isnan(value))
            or (isinstance(value, str) and value.strip().lower() in _NOTHING and value not in self.given)
        ):
            return (None,) * self.k
        outcome = self.outcome(value, models, texts)
        if isinstance(outcome, str):
            return _rated(outcome, self.k)
        if outcome is None or self.ends is None:
            raise RowError(
                f"{self.name!r} is {seen(value)}, which says none of {', '.join(self.fields)} or a tie; "
                "say what its values mean with `verdict_values`, as in a=1,b=2,tie=0"
            )
        first, last = self.ends
        if not min(first, last) <= outcome <= max(first, last):
            raise RowError(
                f"{self.name!r} is {seen(value)}, expected a number from {min(first, last):g} to {max(first, last):g}; "
                "say what its values mean with `verdict_values`, as in a=1,b=2,tie=0"
            )
        if self.strength:
            towards = outcome if last > 0 else -outcome
            return max(-towards, 0.0), max(towards, 0.0)
        if self.k > 2:
            step = (outcome - first) / (last - first) * (self.k - 1)
            if not step.is_integer():
                raise RowError(f"{self.name!r} is {seen(value)}, expected the number of one completion")
            return _rated(_LETTERS[int(step)], self.k)
        share = round((outcome - first) / (last - first), 12)
        return 1.0 - share, share

    def outcome(self, value: object, models: Sequence[str | None] = (), texts: Sequence[str] = ()) -> str | float | None:
        """What the value says: an outcome, a number on the scale of the ends, or None."""
        if self.given and (known := self.given.get(_key(value))) is not None:
            return known
        if isinstance(value, bool):
            # True says that the first is better, and no position.
            return "a" if value else "b" if self.k == 2 else None
        if isinstance(value, str):
            text = value.strip()
            if text.lower() in ("true", "false"):
                return self.outcome(text.lower() == "true")
            for names in (self.fields, models, texts):
                found = [n for n, name in enumerate(names) if name and name in (value, text)]
                if len(found) == 1:
                    return _LETTERS[found[0]]
            try:
                value = number(text, "")
            except RowError:
                return self._word(text)
        try:
            return number(value, "")
        except RowError:
            return None

    def _word(self, text: str) -> str | float | None:
        words = _plain(text)
        if words in _BOTH_BAD:
            return BOTH_BAD
        if words in _TIES or (words == "c" and self.k == 2):
            return TIE
        compared = _COMPARED.fullmatch(words)
        if compared:
            left, sign, right = compared[1], compared[2], compared[3]
            if sign[0] in "=≈~":
                return TIE
            return self._side(right if sign[0] == "<" else left)
        better = _BETTER.fullmatch(words)
        return self._side(better[1] if better else words)

    def _side(self, words: str) -> str | float | None:
        words = words.removeprefix("@").removeprefix("the ").strip()
        for position, name in enumerate(self.fields):
            if words == _plain(name):
                return _LETTERS[position]
        if len(words) == 1 and words in _LETTERS[: self.k]:
            return words
        if words.partition(" ")[0] in _ORDINALS[: self.k]:
            return _LETTERS[_ORDINALS.index(words.partition(" ")[0])]
        if self.k == 2 and words in ("left", "right"):
            return "ab"[words == "right"]
        noun = _NOUN.fullmatch(words)
        if noun and noun[1] in _LETTERS[: self.k]:
            return noun[1]
        if noun and noun[1].isdecimal():
            position = int(noun[1]) - self.start
            return _LETTERS[position] if 0 <= position < self.k else None
        return None

    def write(
        self, old: object, wanted: Sequence[float], models: Sequence[str | None] = (), texts: Sequence[str] = ()
    ) -> object:
        """The value that says the wanted ratings, written as the old one is; the old one where it says them already.

        Raises:
            TieCannotBeSaid: a tie, or that all are bad, which this field has no value for.
        """
        best = [n for n, value in enumerate(wanted) if value == max(wanted)]
        if self.strength:
            return self._strength(old, wanted[1] - wanted[0])
        if len(best) == 1:
            try:
                now = self.ratings(old, models, texts)
            except RowError:
                now = ()
            if now and None not in now and _order(now) == _order(wanted) and not (self.ends and _partial(old, self.ends)):
                return old
            return self._side_written(old, wanted, best[0], models, texts)
        if len(best) < len(wanted):
            raise TieCannotBeSaid
        bad = max(wanted) == 0.0
        outcome = BOTH_BAD if bad else TIE
        if self.outcome(old) == outcome:
            return old
        if outcome in self.written:
            return _in_kind(self.written[outcome], old)
        if not bad and self.half_is_tie and self.ends is not None:
            middle = sum(self.ends) / 2
            return written_like(middle, middle if isinstance(old, (int, float)) else old)
        word = None if bad else self._tie_word(old)
        if word is None:
            raise TieCannotBeSaid
        return word

    def _strength(self, old: object, margin: float) -> object:
        first, last = self.ends or (-1.0, 1.0)
        top = max(abs(first), abs(last))
        whole = min(max(float(round(margin)), -top), top)
        if not whole and margin:
            # Less than half a point is a preference still.
            whole = 1.0 if margin > 0 else -1.0
        signed = whole if last > 0 else -whole
        return old if _float(old) == signed else written_like(signed + 0.0, old)

    def _number(self, old: object, ratings: Sequence[float], best: int) -> object:
        """A number on the scale of the ends."""
        first, last = self.ends or (0.0, 1.0)
        if self.k > 2:
            return written_like(first + (last - first) * best / (self.k - 1), old)
        total = sum(ratings)
        share = ratings[1] / total if total > 0 and min(ratings) >= 0 else float(best)
        partial = _partial(old, (first, last)) and not all(r in (0.0, 1.0) for r in ratings)
        value = round(first + (last - first) * (share if partial else float(best)), 10)
        if isinstance(old, float) or (isinstance(old, str) and "." in old):
            return written_like(value, old)
        return written_like(value, None if old is None else old)

    def _side_written(
        self, old: object, wanted: Sequence[float], best: int, models: Sequence[str | None], texts: Sequence[str]
    ) -> object:
        letter = _LETTERS[best]
        if isinstance(old, str):
            for names in (self.fields, models, texts):
                if old in names and names[best]:
                    return names[best]
        if letter in self.given.values():
            return _in_kind(self.written[letter], old)
        if isinstance(old, bool):
            return best == 0
        if isinstance(old, str) and old.strip().lower() in ("true", "false"):
            return _cased("true" if best == 0 else "false", old)
        if self.ends is not None and (old in (None, "") or _float(old) is not None):
            return self._number(old, wanted, best)
        words: list[object] = [_mirrored(old, letter)] if isinstance(old, str) and old and self.k == 2 else []
        # A tie names no side: then as this file writes this one or the other, else in its style.
        other = self.written.get("ab"[letter == "a"]) if self.k == 2 else None
        words += [self.written[letter]] if letter in self.written else []
        words += [_mirrored(other, letter)] if isinstance(other, str) else []
        words += _like_words(old, letter, self.name)
        for candidate in words:
            if candidate is not None and self.outcome(candidate) == letter:
                return candidate
        raise RowError(f"{self.name!r} is {seen(old)}, and no value of it is known that says {self.fields[best]!r}")

    def _tie_word(self, old: object) -> str | None:
        """A tie in the words of a verdict that names the sides by letters; others have no word for it that is known."""
        if not isinstance(old, str) or _float(old) is not None or old.strip().lower() in ("true", "false"):
            return None
        if old in self.fields and not old.lower().startswith(("model", "assistant")):
            return None
        if old.strip().startswith("[["):
            return "[[C]]"
        if (compared := _COMPARED.fullmatch(old.strip())) is not None:
            return "=".join(sorted((compared[1].strip(), compared[3].strip())))
        words = _plain(old)
        known = words in _BOTH_BAD or words in _TIES or re.fullmatch(r"(?:(?:model|assistant) )?[ab](?: is .*)?|", words)
        return _cased("tie", old) if known else None


def _rated(outcome: str, k: int) -> tuple[float, ...]:
    if outcome == TIE:
        return (0.5,) * k
    if outcome == BOTH_BAD:
        return (0.0,) * k
    return tuple(float(_LETTERS[n] == outcome) for n in range(k))


def _outcome_words(outcome: str, k: int) -> str:
    words = {TIE: "a tie", BOTH_BAD: "both bad"}
    return words.get(outcome) or f"the {_ORDINALS[_LETTERS.index(outcome)]}{' is better' if k == 2 else ''}"


def _key(value: object) -> str:
    """A value as `given` has it: numbers by their amount, words as they are but for case."""
    amount = None if isinstance(value, bool) else _float(value)
    return f"{amount:g}" if amount is not None else str(value).strip().lower()


def _float(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) else number(value, "")
    except RowError:
        return None


def _partial(old: object, ends: tuple[float, float]) -> bool:
    """Whether the verdict is a fraction between its ends."""
    value = _float(old)
    return value is not None and value not in ends


def _cased(word: str, old: str) -> str:
    return word.upper() if old.isupper() and len(old) > 1 else word.capitalize() if old[:1].isupper() else word


_TOKENS = re.compile(
    r"(?<![A-Za-z])(?:[A-Ha-h](?![A-Za-z])|left|right|first|second|Left|Right|First|Second|LEFT|RIGHT)|" + _WHOLE
)


def _mirrored(old: str, letter: str) -> str | None:
    """The verdict with the two sides exchanged, word by word."""
    swaps = {"a": "b", "b": "a", "left": "right", "right": "left", "first": "second", "second": "first"}
    numbers = sorted({int(n) for n in re.findall(_WHOLE, old)})
    base = 0 if 0 in numbers else 1

    def swap(match: re.Match[str]) -> str:
        word = match[0]
        if word.isdecimal():
            return str({base: base + 1, base + 1: base}.get(int(word), int(word)))
        return _cased(swaps.get(word.lower(), word), word)

    return _TOKENS.sub(swap, old) if letter in "ab" else None


def _like_words(old: object, letter: str, name: str) -> list[str]:
    """A side in the style of an old value that names none."""
    sample = _cased(letter, str(old or ""))
    if isinstance(old, str) and (compared := _COMPARED.fullmatch(old.strip())) is not None:
        return [f"{compared[1].strip()}{sign}{compared[3].strip()}" for sign in "><"]
    return [f"model_{letter}" if name == "winner" else sample, sample]


def _in_kind(value: object, old: object) -> object:
    """A value that was given as text, as a number or a boolean where the file has those."""
    if not isinstance(value, str) or isinstance(old, str):
        return value
    if isinstance(old, bool) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    amount = _float(value)
    return value if amount is None else written_like(amount, old)


def _order(ratings: Sequence[float | None]) -> list[int]:
    return [sum((other or 0.0) > (mine or 0.0) for other in ratings) for mine in ratings]


def _base(fields: Sequence[str]) -> int | None:
    """The number with which the completions' fields begin: 0, 1, or None where they have none."""
    found = [re.search(r"([0-9]{1,9})\D*$", name) for name in fields]
    numbers = [int(match[1]) for match in found if match]
    return numbers[0] if len(numbers) == len(fields) and numbers == list(range(numbers[0], numbers[0] + len(numbers))) else None


def _start(names: Sequence[str], values: Sequence[object]) -> int:
    """The number of the first completion in words: as the fields are counted, else 0 where a word says 0, else 1."""
    base = _base(names)
    if base is not None:
        return base
    return 0 if any(isinstance(v, str) and (m := _NOUN.search(_plain(v))) and m[1] == "0" for v in values) else 1


#: Strengths that are known by the field's name: negative is for the first.
_STRENGTHS = ("preference_strength", "overall_preference")
#: Fields of 1 and 0 that say whether the first is preferred.
_FIRST_IS_BETTER = ("label", "labels")


_OF_A_SIDE = {"a": "a", "b": "b", "left": "a", "right": "b", "first": "a", "second": "b"}


def infer_scale(name: str, completions: Sequence[str], values: Sequence[object], fields: FieldNames) -> VerdictScale:
    """What the values of a verdict mean, by what was given, by the names and by the values themselves.

    Args:
        name: the verdict's field.
        completions: the completions' fields.
        values: of the first rows.
        fields: with `verdict_values`, where a person gave them.
    Raises:
        InputError: numbers that could mean one thing or its opposite.
    """
    names = tuple(completions)
    if len(names) > len(_LETTERS):
        raise InputError(f"{name!r} tells the best of {len(names)} completions, and {len(_LETTERS)} are the most")
    if fields.verdict_values:
        return _given_scale(name, names, fields)
    numbers = {n for value in values if (n := _float(value)) is not None}
    base = name.rpartition(".")[2]
    scale = VerdictScale(
        name,
        names,
        _ends(name, names, numbers) if numbers else None,
        strength=base in _STRENGTHS or bool(numbers and min(numbers) < 0),
        start=_start(names, values),
    )
    written: dict[str, object] = {}
    given: dict[str, str] = {}
    if scale.ends is not None and len(names) == 2 and not scale.strength:
        if scale.ends == (1.0, 2.0) and _base(names) == 1:
            # alpaca_farm and PandaLM count their answers from 1 and write a tie as 0; others have no ties.
            given["0"] = TIE
            written |= {TIE: 0} if base.startswith("annotator") else {}
        for number_of_tie in (sum(scale.ends) / 2, 0.0 if given else None):
            if number_of_tie in numbers:
                written[TIE] = next(v for v in values if _float(v) == number_of_tie)
    for value in values:
        if isinstance(value, bool):
            written.setdefault("a" if value else "b", value)
        if isinstance(value, str) and _float(value) is None and value.strip():
            outcome = scale.outcome(value)
            if isinstance(outcome, str):
                written.setdefault(outcome, value)
    if base == "winner" and any(isinstance(value, str) and _float(value) is None for value in written.values()):
        # Chatbot Arena's words.
        written.setdefault(TIE, "tie")
        written.setdefault(BOTH_BAD, "tie (bothbad)")
    halves = any(not n.is_integer() for n in numbers) or (base == "preference" and _base(names) == 1)
    return VerdictScale(name, names, scale.ends, scale.strength, given, written, halves, scale.start)


def _ask(name: str, numbers: Iterable[float], names: Sequence[str]) -> InputError:
    shown = ", ".join(f"{n:g}" for n in sorted(numbers)[:6])
    values = ",".join(f"{_LETTERS[n]}=VALUE" for n in range(len(names)))
    return InputError(
        f"{name!r} holds {shown}: these may say that {names[0]!r} is better, or the opposite",
        hint=f"say what they mean with `verdict_values`, as in {values},tie=VALUE",
    )


def _ends(name: str, names: Sequence[str], numbers: set[float]) -> tuple[float, float]:
    """The numbers that stand for the first completion and for the last."""
    base = name.rpartition(".")[2]
    counted = _base(names)
    low, high = min(numbers), max(numbers)
    k = len(names)
    if k > 2:
        start = counted if counted is not None else 0 if low == 0 else 1 if high == k else None
        if start is None or not start <= low <= high < start + k:
            raise _ask(name, numbers, names)
        return float(start), float(start + k - 1)
    if base in _STRENGTHS:
        if low >= 0 and high > 3:
            # Counted from 1, or from 0, with no preference in the middle: not a strength with a sign.
            raise _ask(name, numbers, names)
        top = max(3.0, abs(low), abs(high))
        return -top, top
    if low < 0:
        raise _ask(name, numbers, names)
    if high > 1:
        # Counted from 1; 0 is a tie where the answers are counted so too.
        if high > 2 or (low < 1 and (counted != 1 or any(0 < n < 1 for n in numbers))):
            raise _ask(name, numbers, names)
        return 1.0, 2.0
    fractions = any(0 < n < 1 and n != 0.5 for n in numbers)
    sides = {_OF_A_SIDE[word] for word in re.split(r"[\W_]+", base.lower()) if word in _OF_A_SIDE}
    if len(sides) == 1:
        # Named after one side, as `winner_model_a` and `prob_b` are: 1 says that it is this one.
        return (1.0, 0.0) if sides == {"a"} else (0.0, 1.0)
    if counted == 1:
        if 0.0 in numbers or fractions:
            raise _ask(name, numbers, names)
        return 1.0, 2.0
    if base in _FIRST_IS_BETTER and counted != 0:
        # SHP's says whether the first is preferred; fields that are counted from 0 say that it is a number of theirs.
        return 1.0, 0.0
    if fractions or (numbers == {1.0} and counted is None):
        raise _ask(name, numbers, names)
    return 0.0, 1.0


def _given_scale(name: str, names: tuple[str, ...], fields: FieldNames) -> VerdictScale:
    allowed = [*_LETTERS[: len(names)], TIE, BOTH_BAD]
    given: dict[str, str] = {}
    written: dict[str, object] = {}
    for outcome, value in fields.verdict_values:
        if outcome not in allowed:
            raise InputError(f"{outcome!r} is none of {', '.join(allowed)}", option="verdict_values")
        if _key(value) in given:
            raise InputError(f"the value {value!r} stands twice", option="verdict_values")
        given[_key(value)] = outcome
        written.setdefault(outcome, value)
    first, last = (_float(written.get(letter)) for letter in ("a", _LETTERS[len(names) - 1]))
    ends = (first, last) if first is not None and last is not None and first != last and len(names) == 2 else None
    return VerdictScale(
        name,
        names,
        ends,
        ends is not None and ends[0] == -ends[1] and abs(ends[0]) > 1,
        given,
        written,
        start=_start(names, ()),
    )
