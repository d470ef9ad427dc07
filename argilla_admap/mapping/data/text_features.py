"""Facts about each text without any model call: counts, script, language, whether it is empty or cut off."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.records import NOT_SHOWN

__all__ = ["LANGUAGES", "TextFacts", "facts_of", "fingerprints", "hashed_words", "join_facts", "languages_of", "prompt_facts"]

#: Columns of `TextFacts.dense`: logarithms of counts, and shares of the bytes.
DENSE_FEATURES = ("length", "words", "lines", "word length", "capitals", "digits", "punctuation", "lists", "code")
#: Codes of `TextFacts.script`; -1 where there are too few letters to tell.
SCRIPTS = ("Latin", "Cyrillic", "Greek", "Hebrew", "Arabic", "Indic", "Chinese", "Japanese", "Korean")
#: What `languages_of` distinguishes: a name for each script, and the last for texts without letters of them.
LANGUAGES = (
    "Latin script",
    "Cyrillic script",
    "Greek",
    "Hebrew",
    "Arabic script",
    "Indic or Thai script",
    "Chinese",
    "Japanese",
    "Korean",
    "other",
)
#: One ideogram counts as this many letters of an alphabet.
IDEOGRAM = 3.0
#: Characters of a text in which its language is looked for.
LANGUAGE_CHARACTERS = 300
#: Share of kana in letters that Chinese and Japanese have: at most the first in Chinese, at least the second in Japanese.
KANA = (0.15, 0.25)
#: Shorter texts show no language and no truncation.
MIN_BYTES = 200
#: A prompt shows its language by fewer words, since nothing is held against it.
PROMPT_BYTES, PROMPT_WORDS = 40, 3
#: From this share of punctuation on a text is code, data or a bare list of names, which have no language.
CODE_LIKE = 0.08
#: Blanks of other scripts are looked for in texts up to this length.
SHORT_BLANK = 64
#: Words of this much of a text are hashed.
HASHED_CHARACTERS = 2000
HASHED_FEATURES = 2**13
#: Texts that are hashed at a time, so that they stay in the processor's cache.
TEXTS_AT_ONCE = 1024
#: Bytes of a long text within which English has a " the ".
GLANCE = 600
_THE = b" the "

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TextFacts:
    """Facts about texts, an entry each.

    Attributes:
        dense: shape (n, 9), float32; columns `DENSE_FEATURES`.
        length: in bytes of UTF-8.
        script: code into `SCRIPTS`, -1 unknown.
        foreign: a text of `MIN_BYTES` or more with the commonest words of another Latin-written language and hardly any of
            English.
        english: a Latin text with "the" in its beginning.
        code: with a block of code, or so much punctuation that it is code, data or a bare list.
        empty: nothing but white space.
        truncated: long, and it ends inside a sentence or inside a block of code.
        partial: with pictures or the like that are not shown: equal texts may then be different answers.
    """

    dense: npt.NDArray[np.float32]
    length: Ints
    script: Ints
    foreign: Bools
    english: Bools
    code: Bools
    empty: Bools
    truncated: Bools
    partial: Bools


_CHINESE, _JAPANESE = SCRIPTS.index("Chinese"), SCRIPTS.index("Japanese")
#: The bytes of each count. The first byte of a letter in UTF-8 nearly always tells its script.
_CLASSES: dict[str, list[tuple[int, int]]] = {
    "space": [(9, 13), (32, 32)],
    "line": [(10, 10)],
    "backtick": [(96, 96)],
    "capital": [(65, 90)],
    "digit": [(48, 57)],
    "punctuation": [(33, 47), (58, 64), (91, 96), (123, 126)],
    "Latin": [(65, 90), (97, 122)],
    "Cyrillic": [(0xD0, 0xD3)],
    "Greek": [(0xCE, 0xCF)],
    "Hebrew": [(0xD6, 0xD7)],
    "Arabic": [(0xD8, 0xDB)],
    "Indic": [(0xE0, 0xE0)],
    "Chinese": [(0xE4, 0xE9)],
    "Japanese": [(0xE3, 0xE3)],
    "Korean": [(0xEA, 0xED)],
}
#: Classes that are counted together, eight to a number of 64 bits, one to a byte of it: those of ASCII, and the others.
_TOGETHER = (("space", "line", "capital", "digit", "punctuation", "Latin", "backtick"), SCRIPTS[1:])
#: Bytes that are counted at a time, at most: so many fit a byte.
_COUNTED_BYTES = 255


def _packed(names: tuple[str, ...]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The counts that each byte, and each two bytes, add to."""
    one = np.zeros(256, np.uint64)
    for place, name in enumerate(names):
        for first, last in _CLASSES[name]:
            one[first : last + 1] += np.uint64(1 << 8 * place)
    return one, (one[:, None] + one[None, :]).reshape(-1)


_TABLES = tuple(_packed(names) for names in _TOGETHER)
#: Commonest words of German, French, Spanish, Italian, Portuguese, Dutch, Polish, Turkish, Vietnamese, Indonesian, Swedish.
_FOREIGN_WORDS = (
    r"(?i)(?:^|[^\pL])(?:der|die|das|und|nicht|ist|les|des|est|une|dans|que|los|las|una|por|para|della|che|sono|não|uma|"
    r"de|el|la|le|het|een|van|zijn|niet|met|voor|na|w|nie|się|są|że|jest|które|przez|bir|ve|için|çok|bu|của|và|là|những|được|yang|dan|dengan|pada|untuk|och|att|som)"
    r"(?:[^\pL]|$)"
)
_ENGLISH_WORDS = r"(?i)\b(?:the|and|of|to|is|that|in|you|for|with)\b"


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many bytes of each class the texts hold.

    Attributes:
        texts: as large strings, without nulls.
        data: their bytes, one after the other.
        starts: shape (n + 1,), where each begins in `data`.
        by_class: shape (n,) for each of `_CLASSES`.
    """

    texts: Any
    data: Bytes
    starts: Ints
    by_class: dict[str, Floats]

    @property
    def length(self) -> Ints:
        """In bytes, shape (n,)."""
        return np.diff(self.starts)

    def empty(self) -> Bools:
        """Texts of white space only, of any script's; shape (n,)."""
        empty = np.asarray(self.by_class["space"] == self.length)
        plain = self.by_class["Latin"] + self.by_class["digit"] + self.by_class["punctuation"]
        odd = np.flatnonzero(~empty & (self.length <= SHORT_BLANK) & (plain == 0))
        if len(odd):
            empty[odd] = np.asarray(pc.match_substring_regex(self.texts.take(pa.array(odd)), r"^[\s\pZ\p{Cf}]*$"))
        return empty

    def letters(self, kana_of_japanese: float) -> Floats:
        """Letters of each of `SCRIPTS`, shape (n, 9). Japanese uses Chinese letters too, and is known by its share of kana."""
        letters = np.stack([self.by_class[name] for name in SCRIPTS], axis=1)
        both, kana = letters[:, _CHINESE] + letters[:, _JAPANESE], letters[:, _JAPANESE].copy()
        letters[:, _CHINESE] = np.where(kana <= min(KANA[0], kana_of_japanese) * both, both, 0.0)
        letters[:, _JAPANESE] = np.where(kana >= kana_of_japanese * both, both, 0.0)
        return letters

    def script(self) -> Ints:
        """Codes into `SCRIPTS`, shape (n,), of three in five letters or more; -1 where there is none, or too few letters."""
        letters = self.letters(KANA[1])
        total = np.sum([self.by_class[name] for name in SCRIPTS], axis=0)
        top = letters.argmax(axis=1)
        return np.where((total >= 20) & (letters[np.arange(len(top)), top] >= 0.6 * total), top, -1)


def _count(texts: Any) -> _Counts:
    texts = pc.fill_null(texts, "").cast(pa.large_string())
    n = len(texts)
    starts = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + n + 1] if n else np.zeros(1, np.int64)
    first, last = int(starts[0]), int(starts[-1])
    data = np.frombuffer(texts.buffers()[2], np.uint8)[first:last] if last > first else np.zeros(0, np.uint8)
    starts = starts - first
    by_class: dict[str, Floats] = {}
    for number, (names, tables) in enumerate(zip(_TOGETHER, _TABLES, strict=True)):
        if number and (not len(data) or data.max() < 128):
            by_class |= {name: np.zeros(n) for name in names}
        else:
            by_class |= zip(names, _sums(data, starts, *tables)[: len(names)], strict=True)
    return _Counts(texts, data, starts, by_class)


def _sums(data: Bytes, starts: Ints, one: npt.NDArray[np.uint64], two: npt.NDArray[np.uint64]) -> Floats:
    """The counts of a table of `_packed` over each text; shape (8, n).

    Counts are differences of running sums over two bytes at a time; what runs over in a sum goes again in the difference.
    """
    pairs = len(data) // 2
    running = np.zeros(pairs + 1, np.uint64)
    two.take(data[: 2 * pairs].view(np.uint16), out=running[1:], mode="clip")
    np.cumsum(running, out=running)
    parts = np.maximum(-(-np.diff(starts) // _COUNTED_BYTES), 1)
    firsts = np.cumsum(parts) - parts
    edges = starts
    if len(parts) and parts.max() > 1:
        within = np.arange(int(parts.sum())) - np.repeat(firsts, parts)
        edges = np.append(np.repeat(starts[:-1], parts) + _COUNTED_BYTES * within, starts[-1])
    upto = running[edges >> 1]
    odd = np.flatnonzero(edges & 1)
    upto[odd] += one[data[edges[odd] - 1]]
    packed = upto[1:] - upto[:-1]
    counts = [(packed >> np.uint64(8 * place)) & np.uint64(255) for place in range(8)]
    if len(packed) == len(parts):
        return np.array(counts, np.float64)
    return np.array([np.add.reduceat(count, firsts) for count in counts], np.float64)


def _beginning(counted: _Counts, characters: int) -> Any:
    """The first characters of each text; the texts themselves where none is longer."""
    long = counted.length.max(initial=0) > characters
    return pc.utf8_slice_codeunits(counted.texts, 0, characters) if long else counted.texts


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What prompts say of the language that their answers should be in; each of shape (n,).

    Attributes:
        script: as `TextFacts.script`; also -1 where a prompt in another script begins with Latin words, since the text in the
            other script may be what is asked about.
        foreign: in another Latin-written language than English; False where that was not asked.
        translation: mentions a translation or a language: any language may be the right one.
        empty: nothing but white space.
        partial: as `TextFacts.partial`.
    """

    script: Ints
    foreign: Bools
    translation: Bools
    empty: Bools
    partial: Bools


_LANGUAGES = (
    "english|chinese|mandarin|cantonese|japanese|korean|spanish|french|german|russian|arabic|hindi|italian|portuguese|dutch|"
    "polish|turkish|vietnamese|thai|indonesian|swedish|danish|norwegian|finnish|czech|hungarian|romanian|ukrainian|greek|"
    "hebrew|persian|farsi|urdu|bengali|tamil|telugu|marathi|gujarati|punjabi|sinhala|swahili|tagalog|latin"
)
_TRANSLATION = (
    rf"(?i)translat|language|\b(?:{_LANGUAGES})\b|翻译|翻譯|译[成为]|譯[成為]|[英汉漢日韩韓法德俄]语|[英日韩法德俄中]文|翻訳|訳し|[英国独仏]語|日本語|번역|영어|한국어|"
    r"перев[оеё][дс]|английск|русск|переклад|англійськ|ترجم|الإنجليزية|العربية|अनुवाद|अंग्रेज|हिंदी|हिन्दी|"
    r"übersetz|englisch|deutsch|traduc|tradui|tradur|ingl[eéê]s|anglais|español|français|vertaal|engels|"
    r"przetłumacz|angielsk|çevir|ingilizce|dịch|tiếng anh|terjemah|inggris|översätt|engelska"
)
_LATIN_FIRST = r"^[^\pL]*[A-Za-z][A-Za-z ,:'\n-]{11,}"


def prompt_facts(prompts: Any, in_doubt: Bools) -> PromptFacts:
    """Facts about each prompt.

    Args:
        prompts: an Arrow array of strings, of n items.
        in_doubt: shape (n,), the prompts of which to tell whether they are in a foreign language.
    """
    counts = _count(prompts)
    script = counts.script()
    other = np.flatnonzero(script > 0)
    if len(other):
        script[other[np.asarray(pc.match_substring_regex(counts.texts.take(pa.array(other)), _LATIN_FIRST))]] = -1
    beginning = _beginning(counts, 1000)
    foreign = np.zeros(len(script), bool)
    some = np.flatnonzero(in_doubt & (script == 0))
    if len(some):
        foreign = _foreign(counts, some, PROMPT_BYTES, PROMPT_WORDS)[0]
    translation = np.asarray(pc.match_substring_regex(beginning, _TRANSLATION))
    return PromptFacts(script, foreign, translation, counts.empty(), _holds_not_shown(counts))


def languages_of(texts: Any) -> Ints:
    """The language or script that most of a text's first letters are of: codes into `LANGUAGES`, shape (n,).

    Args:
        texts: an Arrow array of strings, of n items.
    """
    counts = _count(pc.utf8_slice_codeunits(pc.fill_null(texts, ""), 0, LANGUAGE_CHARACTERS))
    letters = counts.letters(KANA[0])
    letters[:, _CHINESE:] *= IDEOGRAM
    unknown = (letters.sum(axis=1) == 0) & ~np.asarray(pc.string_is_ascii(counts.texts))
    return np.where(unknown, len(LANGUAGES) - 1, letters.argmax(axis=1))


def facts_of(texts: Any) -> TextFacts:
    """Facts about each text.

    Args:
        texts: an Arrow array of strings, of n items.
    """
    counted = _count(texts)
    texts, data, starts, counts, length = counted.texts, counted.data, counted.starts, counted.by_class, counted.length
    size = np.maximum(length, 1).astype(np.float64)
    empty = counted.empty()
    words = np.where(empty, 0.0, counts["space"] + 1)
    fences = np.zeros(len(length))
    quoted = np.flatnonzero(counts["backtick"] >= 3)
    if len(quoted):
        fences[quoted] = np.asarray(pc.count_substring(texts.take(pa.array(quoted)), "```"))
    dense = np.stack(
        [
            np.log1p(length),
            np.log1p(words),
            np.log1p(counts["line"]),
            np.minimum(size / np.maximum(words, 1.0), 20.0),
            counts["capital"] / size,
            counts["digit"] / size,
            counts["punctuation"] / size,
            np.log1p(_list_items(data, starts)),
            np.log1p(fences),
        ],
        axis=1,
    ).astype(np.float32)
    truncated = (length >= MIN_BYTES) & ((fences % 2 == 1) | _cut_short(texts, data, starts))
    script = counted.script()
    foreign, english = _foreign(counted, None, MIN_BYTES, 5)
    code = (fences > 0) | (counts["punctuation"] >= CODE_LIKE * size)
    partial = _holds_not_shown(counted)
    return TextFacts(dense, length, script, foreign, english & (script == 0), code, empty, truncated, partial)


def _holds_not_shown(counted: _Counts) -> Bools:
    """Texts with a remark that pictures or the like are not shown; shape (n,)."""
    holds = np.zeros(len(counted.length), bool)
    # Hardly any data have one: one search through all texts tells.
    if counted.data.tobytes().find(b", not shown]") >= 0:
        holds[:] = pc.match_substring_regex(counted.texts, NOT_SHOWN)
    return holds


def join_facts(pieces: list[TextFacts]) -> TextFacts:
    """The facts of several arrays of texts, one after the other."""
    if not pieces:
        return facts_of(pa.array([], pa.string()))
    return TextFacts(*(np.concatenate([getattr(piece, f.name) for piece in pieces]) for f in fields(TextFacts)))


def _list_items(data: Bytes, starts: Ints) -> Floats:
    """Lines after the first that begin with a dash, a star or a digit."""
    after = np.flatnonzero(data[:-1] == 10) + 1
    begins = data[after]
    after = after[(begins == 45) | (begins == 42) | ((begins >= 48) & (begins <= 57))]
    return np.bincount(np.searchsorted(starts, after, "right") - 1, minlength=len(starts) - 1).astype(np.float64)


#: The last line of a text that was cut off: it ends on two words or a comma after a finished sentence or list item (the full
#: stop of a number or of a bold heading finishes none), or on a word that another must follow. Scripts without blanks between
#: words have no second word.
_WORDS = r"[^\n]*[\p{Ll}\p{Lo}\pM]+,? [\p{Ll}\p{Lo}\pM]+,?$"
_UNENDED = (
    rf"[\pL\pM]{{2}}[)\"'”’]?[.!?؟।] {_WORDS}|[.!?] *\n\s*(?:\d+[.)]|[-*•]) {_WORDS}|"
    r" (?:the|an?|of|and|or|with|from)$|"
    r"[。！？][^\n]*[\p{Han}\p{Hiragana}\p{Katakana}，、,]$"
)


def _cut_short(texts: Any, data: Bytes, starts: Ints) -> Bools:
    """Texts whose last line ends inside a sentence."""
    cut = np.zeros(len(starts) - 1, bool)
    filled = np.flatnonzero(np.diff(starts) > 0)
    final = data[starts[filled + 1] - 1]
    where = filled[((final >= 97) & (final <= 122)) | (final == 44) | (final >= 128)]
    if len(where):
        tail = pc.utf8_slice_codeunits(texts.take(pa.array(where)), -160, None)
        cut[where] = np.asarray(pc.match_substring_regex(tail, _UNENDED))
    return cut


def _foreign(counted: _Counts, rows: Ints | None, least: int, words: int) -> tuple[Bools, Bools]:
    """Texts of `least` bytes or more with at least `words` of the commonest words of another Latin-written language and hardly
    any of English; and texts with " the " in their beginning. Only the few without are read.

    Args:
        rows: those to look at; None: all.
    """
    english = _has_the(counted)
    foreign = np.zeros(len(english), bool)
    asked = (counted.length >= least) & ~english
    where = np.flatnonzero(asked) if rows is None else rows[asked[rows]]
    if len(where):
        few = pc.utf8_slice_codeunits(counted.texts.take(pa.array(where)), 0, HASHED_CHARACTERS)
        other = np.asarray(pc.count_substring_regex(few, _FOREIGN_WORDS))
        some = np.flatnonzero(other >= words)
        common = np.asarray(pc.count_substring_regex(few.take(pa.array(some)), _ENGLISH_WORDS))
        foreign[where[some]] = other[some] > 2 * common
    return foreign, english


def _has_the(counted: _Counts) -> Bools:
    """Texts with " the " in their first `GLANCE` bytes; shape (n,)."""
    data, starts, has = counted.data, counted.starts, np.zeros(len(counted.length), bool)
    if len(data) < 5:
        return has
    found = data[2:-2] == _THE[2]
    for place in (0, 1, 3, 4):
        found &= data[place : len(data) - 4 + place] == _THE[place]
    at = np.flatnonzero(found)
    owner = np.searchsorted(starts, at, "right") - 1
    has[owner[at + 5 <= np.minimum(starts[owner] + GLANCE, starts[owner + 1])]] = True
    return has


def fingerprints(texts: Any) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each text without regard to case and outer white space; the same on every run."""
    plain = pc.utf8_trim_whitespace(pc.ascii_lower(pc.fill_null(texts, "")))
    found = np.empty(len(plain), np.uint64)
    for start in range(0, len(plain), TEXTS_AT_ONCE):
        values = np.asarray(plain.slice(start, TEXTS_AT_ONCE).to_numpy(zero_copy_only=False), dtype=object)
        found[start : start + TEXTS_AT_ONCE] = pd.util.hash_array(values, categorize=False)
    return found


def hashed_words(texts: Any) -> Any:
    """Hashed words and pairs of words, each row normalised: a sparse matrix of shape (n, 8192)."""
    from sklearn.feature_extraction.text import HashingVectorizer

    cut = pc.utf8_slice_codeunits(pc.fill_null(texts, ""), 0, HASHED_CHARACTERS).to_pylist()
    # Transforming no text at all raises.
    return HashingVectorizer(n_features=HASHED_FEATURES, ngram_range=(1, 2), dtype=np.float32).transform([*cut, ""])[: len(cut)]
