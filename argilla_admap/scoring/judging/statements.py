"""The statements of a grade in an answer's prose, ranked; without those that speak of another's grade, or of none.

A final or overall grade counts more than a grade under a label, on a line of its own or at the answer's start, and that more
than one in a sentence. Numbers that speak of something else are left out: quotes, other people's grades, conditions ("a 5 would
need sources"), lists, counts. A number that is meant as a grade and is none of ours ("8/10", "3-4") is a statement without a
value.

All patterns have bounded repeats: the time is linear in the answer's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from argilla_admap.scoring.judging.rubric import SCALE

__all__ = [
    "FINAL",
    "LABEL",
    "LEADING",
    "NO_FIGURE",
    "NUMBER",
    "OTHER_SCALE",
    "OWN",
    "REVISION",
    "SENTENCE",
    "Statement",
    "alone",
    "fenced",
    "figure_value",
    "quotes_next",
    "same_length",
    "statements",
]

#: Ranks of statements.
SENTENCE, OWN, LABEL, FINAL = range(4)
#: An answer in which more sentences of a kind speak of grades is judged by the first of them.
_MOST_SENTENCES = 60
_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}


class Statement(NamedTuple):
    """A statement of a grade."""

    #: None: a number that is no grade of ours.
    value: int | None
    rank: int
    place: int | None
    #: Where it ends.
    end: int


# Normal forms, one character for one.

_PLAIN = {base + n: str(n) for base in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0x1D7CE, 0x1D7EC, 0x1D7F6) for n in range(10)}
_PLAIN |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys((0x2212, 0x2010, 0x2011, 0xFE63), "-")
_PLAIN |= dict.fromkeys(
    (0x9, 0xB, 0xC, 0xD, 0xA0, 0xAD, 0x3000, 0xFE0F, 0x20E3, 0x2060, 0xFEFF, *range(0x2000, 0x2010), *range(0x202A, 0x2030)),
    " ",
)
_PLAIN |= {
    0x85: "\n",
    0x2028: "\n",
    0x2029: "\n",
    ord("。"): ".",
    ord("、"): ",",
    ord("【"): "[",
    ord("】"): "]",
    ord("🔟"): "¤",
}


def same_length(text: str) -> str:
    """The text with digits, punctuation and spaces of other scripts as ASCII has them; each character stays in its place."""
    return text.translate(_PLAIN)


# One number as a grade would be written, with what it is out of.

_UNIT = (
    r"(?:[ ]?(?:分(?!钟|之|鐘|の)|点|點|점|★|⭐|(?:points?|pts?|stars?|marks?|punkten?|"
    r"étoiles?|puntos?|pontos?|punti|estrellas?|stelle|"
    r"sterren|балл(?:а|ов)?|poäng|puan|điểm)\b))"
)
_OUT_OF = r"(?:/|(?:out[ ]of|of|von|sur|de|su|av|af|z|из|van|dari|trên)\b)"
NUMBER = (
    r"(?P<sign>[-+<>≤≥~≈±–][ ]?)?(?P<int>\d{1,12})(?P<frac>(?:[.,]\d{1,12}){0,3})"
    rf"{_UNIT}?(?:[ ]?[(\[]?[ ]?{_OUT_OF}[ ]?(?P<max>\d{{1,9}}(?:[.,]\d{{1,9}})?)(?![\d/]){_UNIT}?[)\]]?)?{_UNIT}?"
)
_FIGURE = (
    rf"(?:{NUMBER}|(?P<word>(?:one|two|three|four|five)\b)(?:[ ](?:out[ ])?of[ ](?P<wordmax>\w{{1,9}}))?{_UNIT}?"
    r"|(?P<stars>(?:[★⭐🌟][ ]?){1,5}(?:[☆✩][ ]?){0,4})(?![★⭐🌟☆✩\d]))"
)
#: What follows a number that is not a grade by itself: a range, a list, a percentage, a product, a question.
NO_FIGURE = re.compile(
    r"[ ]?[%?‰]|[A-Za-z_\u00c0-\u024f½¼¾²³¤]|[+^]|[.,:/]\d|[ ]{1,4}\d|[-–](?=[ ]{0,4}(?:\n|\Z))"
    r"|[ ]{0,4}(?:[-–—~〜,&/×*=+|]|->|→|=>)[ ]{0,4}\d"
    r"|[ ]{1,4}(?:to|or|and|bis|oder|und|ou|et|o|y|a|à|x|plus|minus|или|и|до)[ ]{1,4}(?:an?[ ]|maybe[ ]|even[ ]"
    r"|perhaps[ ]|possibly[ ])?"
    r"(?:\d|one\b|two\b|three\b|four\b|five\b)|[ ,(]{1,4}(?:maybe|perhaps|possibly|or"
    r"|if[ ]not)[ ](?:even[ ])?(?:an?[ ])?\d|[ ]?(?:至|到|から|或|または|か|부터)[ ]?\d",
    re.IGNORECASE,
)
#: What follows a number in words that is not a grade by itself.
_MORE_WORDS = re.compile(r"[ ]{0,2}(?:and|or|to|point|minus|plus|dot|comma|hundred|ten)\b|[ ]{0,2}[-–½\d]", re.IGNORECASE)
#: Lower-case words that may follow a grade in a sentence; after any other the number counts something.
_NEXT = re.compile(r"[ ]{1,4}(?P<word>[a-z]{1,20})\b(?:[ ]{1,3}(?P<then>[a-z]{1,20}))?")
_MAY_FOLLOW = re.compile(
    r"because|since|as|due|based|given|with|considering|overall|here|reason|reasoning|justification|explanation|rationale|feedback"
    r"|comments?|weil|da|denn|car|parce|porque|perché|omdat"
)
_CRITERION = {"for", "on", "in"}
_WHOLE = {"this", "the", "its", "it", "being", "overall", "a", "an", "his", "that"}

_OPENERS = r"[ \"'“”‘’«»(\[{<$\\*#:.|]{0,12}"
_CLOSERS = r"[ \"'“”‘’«»)\]}>$\\*.!|。]{0,12}"
_ALONE = re.compile(
    rf"\s{{0,200}}{_OPENERS}(?:\\?boxed\{{)?{_OPENERS}{_FIGURE}{_CLOSERS}\s{{0,200}}\Z",
    re.IGNORECASE,
)

#: A sentence that is the whole answer.
_ONE_SENTENCE = re.compile(
    r"\s{0,60}(?:(?:so|thus|therefore|okay|ok|well),? )?(?:(?:it's|it is|this is|that's|that is|looks like|let's go with"
    r"|i'd say|i say|i would say|a|the final answer is|le doy|le daría|dou(?: a)? nota|die note (?:ist|lautet)"
    r"|ich würde (?:die antwort|sie) mit|この回答は|(?:useless|bad|poor|fair|average|good|excellent)[ ]?[(:=–-])[ ]?"
    r"(?:an? |una? |eine )?(?:(?:solid|strong|clear|weak|firm|nota|puntuación)(?: de)? )?)?"
    rf"{_FIGURE}(?:(?:\)| sobre 5| bewerten| to me| for me| from me|です|입니다|点です))?[.!。]?\s{{0,9}}\Z",
    re.IGNORECASE,
)

# Labels.

_SCORE_WORDS = (
    r"scores?|ratings?|grade|mark|(?:note|nota|puntuación|calificación|pontuação)[ ](?:finale?|globale?)|"
    r"bewertung|benotung|punktzahl|gesamtnote|gesamtbewertung|endnote|wertung|notation"
    r"|évaluation|"
    r"puntuación|puntuacion|calificación|calificacion|puntaje|valoración|punteggio|voto|valutazione|pontuação|avaliação|"
    r"classificação|cijfer|beoordeling|ocena|wynik|skor|puan|nilai|betyg|poäng|hodnocení|známka|điểm(?:[ ]số)?|оценка"
    r"|балл|рейтинг|оцінка|βαθμολογία|βαθμός|arvosana|pisteet|karakter|vurdering|poengsum|értékelés|pontszám|scor|punctaj|calificativ"
)
_WEAK_WORDS = (
    r"verdict|evaluation|assessment|judge?ment|result|ergebnis|answer|overall|final|conclusion|note|nota|resultado|résultat|"
    r"risultato|quality|points|stars|puntos|urteil|antwort|réponse|итог|ответ"
)
_OTHER_SCRIPTS = (
    r"评分(?:结果)?|得分|给分|分数|打分|评价|评级|总分|總分|評分|分數|給分|スコア|得点|評価|点数|評点|採点|점수|평점|평가|등급|الدرجة|التقييم|النتيجة|"
    r"امتیاز|نمره|ציון|স্কোর|स्कोर|अंक|रेटिंग|คะแนน"
)
_FINAL_WORDS = (
    r"final|overall|total|gesamt\w{0,10}|end\w{0,4}|insgesamt|finale?|globale?|générale|итоговая|общая|complessivo|"
    r"totale?|geral|general|revised|updated|adjusted|corrected|new"
)
_QUALIFIERS = (
    rf"(?:the|my|your|our|this|quality|response|answer|evaluation|assigned|given|numeric(?:al)?|integer|single"
    rf"|judge'?s|holistic|"
    rf"aggregate|combined|resulting|official|recommended|correct|appropriate|fair|"
    rf"die|meine|der|das|la|le|el|ma|mi|il|mio|mia|o|a[ ]minha|моя"
    rf"|{_FINAL_WORDS})"
)
#: What may stand between a label and its figure: a scale, and what is graded.
_GAP = (
    r"(?:[ ]{0,3}[(\[](?P<gap>[^()\[\]\n]{0,60})[)\]])?"
    r"(?:[ ]{0,3}(?:/|\bout[ ]of\b)[ ]{0,3}(?P<gapmax>\d{1,4}|five|ten)\b)?"
    r"(?:[ ]{1,4}(?:for|of|für|pour|para|per|de|del|della)[ ](?:(?:this|the|diese|die|der|cette|la|esta|questa)[ ])?"
    r"(?:answer|response|reply|completion|antwort|réponse|respuesta|risposta)\b)?"
    r"(?:[ ]{1,4}(?:on|auf|sur|en|su|in|op)[ ](?:an?|the|einer|der|une|un|una|een)?[ ]?"
    r"(?:scale|skala|échelle|escala|scala|schaal)\b[^\n:=.;!?\d]{0,40}?"
    r"|[ ]{1,4}(?:from|between|von|de|in)[ ]{1,20}(?=[:=–-]|is\b))?"
)
_BEGIN = (
    r"(?:^|(?<=[.!?;:]\s)|(?<=[.!?]))[ ]{0,20}(?:[>#•+|–—-][>#•+|–— -]{0,6})?(?:\d{1,2}[.)][ ]{1,3})?"
    r"(?:(?:so|thus|therefore|hence|finally|accordingly|in[ ](?:conclusion|summary|short)|to[ ](?:conclude|summarize)"
    r"|daher|donc|"
    r"based[ ]on[ ][^,\n.:;\d]{1,80}|given[ ][^,\n.:;\d]{1,80})[ ]?[,:]?[ ]{1,3})?"
)
_SEPARATOR = (
    r"(?:[ ]{0,40}(?:[:=|]|=>|->|→)[ ]{0,8}|[ ]{1,40}[-–—][ ]{1,4}|[–—]|[ ]{1,4}(?:is|ist|est|es|è|é|lautet"
    r"|war[ ]ist)[ ]{0,3}:?[ ]{1,4}"
    r"|[ ]{0,4}(?:为|為|是|は|が|는|은|هي|هو)[ ]{0,4}:?[ ]{0,4})"
)
_IN_MARKUP = r"[ \"'“”(\[{<$\\|]{0,10}(?:boxed\{)?[ \"'(\[{$\\]{0,4}"
_LABELLED = re.compile(
    rf"{_BEGIN}[\[(\"'“]{{0,3}}[ ]{{0,2}}(?P<qualifiers>(?:{_QUALIFIERS}[ _-]{{1,3}}){{0,4}})"
    rf"(?:(?P<score>{_SCORE_WORDS})|(?P<weak>{_WEAK_WORDS}))\b[\])\"'”]{{0,3}}{_GAP}"
    rf"(?:(?P<sep>{_SEPARATOR})(?P<next>\n[ ]{{0,8}}\n?[ ]{{0,8}})?|(?P<space>[ ]{{1,8}})"
    rf"|(?P<newline>[ ]{{0,8}}\n[ ]{{0,8}}\n?[ ]{{0,8}}))"
    rf"{_IN_MARKUP}(?P<figure>{_FIGURE})",
    re.IGNORECASE | re.MULTILINE,
)
_LABELLED_OTHER = re.compile(
    rf"(?P<final>最终|最終|最后|最後|总体|總體|整体|综合|総合|최종|종합|النهائية)?(?:的)?[ ]?(?P<score>{_OTHER_SCRIPTS})"
    rf"(?:[ ]?(?P<final2>النهائية))?[\])]?{_GAP}(?:{_SEPARATOR}|[ ]{{0,4}})\n?{_IN_MARKUP}(?P<figure>{_FIGURE})",
    re.IGNORECASE,
)
_MARKED = re.compile(
    rf"<(?P<tag>(?:final[_-]?|overall[_-]?)?(?:score|rating|grade|result|verdict|answer|evaluation|judgment))>\s{{0,20}}"
    rf"{_IN_MARKUP}(?P<tagged>{NUMBER})[^<>\n]{{0,40}}\s{{0,20}}</(?P=tag)>",
    re.IGNORECASE,
)
_BRACKETED = re.compile(
    rf"\[(?:final[ ])?(?:result|score|rating|grade|verdict)\][ ]{{0,4}}[:=]?"
    rf"\s{{0,6}}(?:\([^()\n]{{0,40}}\)[ ]{{0,3}})?{_IN_MARKUP}"
    rf"(?P<figure>{NUMBER})"
    rf"|\[\[[ ]?(?:(?:score|rating|grade)[ ]?:[ ]?)?(?P<figure2>\d{{1,3}}(?:\.\d{{1,3}})?)[ ]?\]\]",
    re.IGNORECASE,
)
_BOXED = re.compile(
    r"boxed\{[ ]{0,4}(?:\\?text\w{0,4}\{)?[ ]{0,4}"
    r"(?P<figure>(?P<int>\d{1,9})(?P<frac>(?:\.\d{1,9})?)(?:[ ]?/[ ]?(?P<max>\d{1,9}))?)[ ]{0,4}\}"
)

# Sentences.

_OWN_VERB = re.compile(
    r"\b(?:I|we|ich|je|yo|eu|io|я)(?:'d|'ll|’d|’ll|'ve)?\b(?P<clause>[^.\n;:!?\d]{0,40}?\b(?:rate|rated|score|scored"
    r"|grade|graded|give|gave|assign|"
    r"assigned|award|awarded|evaluate|settle|go[ ]with|bewerte|vergebe|gebe|"
    r"ставлю|даю|поставила?|donne|attribue|doy|dou|assegno|do)\b[^.\n;!?\d]{0,60}?)"
    rf"{_IN_MARKUP}(?P<figure>{NUMBER})",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"(?:(?:\b(?:an?|the|my|this|our|final|overall|total)[ ]|(?:^|[.,;!?(][ ]?))(?:score|rating|grade|mark)"
    r"(?:[ ]{1,3}(?:of|is|should[ ]be|will[ ]be)|[ ]?[:=])"
    r"|\b(?:deserves?|merits?|earns?|receives?|warrants?|is[ ]worth)\b[^.\n;!?\d]{0,30}?)"
    rf"[ ]{{0,3}}(?:an?[ ]{{1,2}})?{_IN_MARKUP}(?P<figure>{NUMBER})",
    re.IGNORECASE | re.MULTILINE,
)
_OF_FIVE = re.compile(
    rf"(?<![A-Za-z0-9_.,/$€£-])(?P<figure>\d{{1,9}}(?:[.,]\d{{1,9}})?{_UNIT}?[ ]?{_OUT_OF}[ ]?\d{{1,9}}{_UNIT}?"
    rf"|\d[ ]?[分點점](?!钟|之|鐘|の))"
)
#: A sentence in which a number is not the judge's own grade.
_NOT_OWN = re.compile(
    r"\b(?:not|never|no|nor|cannot|without|unless|rather|instead|than|if|need(?:s|ed)?|require[sd]?|could|might|may"
    r"|maybe|perhaps|"
    r"possibly|probably|between|almost|nearly|close|near|below|above|under|over|least|most|less|more|fewer|short"
    r"|beyond|users?|"
    r"says?|said|claim(?:s|ed|ing)?|states?|stated|asks?|asked|demand(?:s|ed)?|request(?:s|ed)?|instruct\w*|wants?"
    r"|suggest\w*|"
    r"previous\w*|prior|earlier|others?|expected|minimum|min|maximum|max|perfect|highest|lowest|best|worst|possible"
    r"|full|top|scale|"
    r"range|reference|initial\w*|first|original\w*|was|were|writes?|wrote|written|contains?|reads?|prompt|example"
    r"|consider\w*|"
    r"tempt\w*|hesitat\w*|whether|either|should|must|had|told|think|thought|guess|nobody|someone|anyone|they|he|she"
    r"|hypothetical\w*|"
    r"rates|scores|gives|awards|got|deduct\w*|reduc\w*|rais\w*|nicht|kein\w*|wäre|könnte|würde|pas|ne|serait|sería|podría|non)\b|n['’]t\b|不|没|如果|若|可能",
    re.IGNORECASE,
)

#: A grade that is taken back, and the one in its place.
REVISION = re.compile(
    r"\b(?:actually|wait|correction|on[ ](?:second[ ]thought|reflection)|make[ ](?:it|that)"
    r"|I[ ](?:\w{1,8}[ ])?(?:revise|change|lower|raise|reduce|adjust|correct)\w{0,2})\b[^\n\d]{0,60}"
    rf"(?P<figure>{NUMBER})",
    re.IGNORECASE,
)

# What is taken out before the statements are looked for.

_FORMAT = re.compile(
    r"</?(?:b|strong|i|em|u|p|br|span|font|div|h[1-6]|code|pre|mark|center|li|ul|ol|td|tr|th|table|response|output|solution)"
    r"\b[^<>]{0,80}>|<\|(?:begin|end)_of_solution\|>"
    r"|~~[^~\n]{1,80}~~"
    r"|\\(?:text|textbf|mathbf|mathrm|bf|large|Large|quad)\b\{?|\\[()\[\],;! ]|\*|`|(?<![A-Za-z0-9])_{1,4}"
    r"|_{1,4}(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_QUOTES = re.compile(
    r"\"[^\"\n]{0,400}\"|“[^”\n]{0,400}”|„[^“”\n]{0,400}[“”]|«[^»\n]{0,400}»|「[^」\n]{0,400}」|『[^』\n]{0,400}』"
    r"|(?<![\w\d])'[^'\n]{2,300}'(?!\w)|(?<![\w\d])‘[^’\n]{2,300}’(?!\w)|`[^`\n]{1,400}`"
)
_OBJECT = re.compile(r"\{[^{}\n]{0,200}[\"'][^{}\n]{0,300}\}")
_QUOTED_LINE = re.compile(r"^[ ]{0,8}>[^\n]*", re.MULTILINE)
_FENCED = re.compile(r"^[ ]{0,8}```[^\n]{0,40}\n(.*?)(?:^[ ]{0,8}```[ ]*$|\Z)", re.MULTILINE | re.DOTALL)
_SPEAKS_OF = re.compile(
    r"(?:answer|response|text|user|it|data|message|prompt|completion|assistant|quote)\b[^\n]{0,80}\b(?:says?|said"
    r"|states?|claims?|"
    r"contains?|ends?|reads?|includes?|writes?|wrote|asks?|demands?|begins?|quotes?|with|instructs?)\b[^\n]{0,60}:[ ]{0,4}$"
    r"|\b(?:quote|example|quoted|rubric|criteria)\b[^\n]{0,30}:[ ]{0,4}$",
    re.IGNORECASE,
)
_TO = r"[ ]?(?:-|–|—|~|\bto\b|\band\b|\bbis\b|à|\bal?\b|до|tot|至|到|から|through|\.\.)[ ]?"
#: What a grade of a legend stands for, as in "1 (bad)", "5 = good".
_MEANS = r"[ ]?(?:\([^()\n\d]{1,60}\)|(?:=|means?|being|is)[ ]?[^\d\n().;:,=]{1,40})"
_OUR_SCALE = re.compile(
    rf"(?:\b(?:on|from|auf)[ ](?:an?|the|our|einer|der)[ ](?:scale[ ]|skala[ ])?(?:of[ ]|from[ ]|von[ ])?)?"
    rf"(?:(?<![\d.,])1{_TO}5(?![\d.,]\d|\d)(?:[ ]?(?:分|点|점|scale))?"
    rf"|(?<![\d.,])(?:1{_MEANS}(?:{_TO}|[^\d\n]{{1,5}}(?:[2-4]{_MEANS}[^\d\n]{{1,5}}){{0,3}})5"
    rf"|5{_MEANS}(?:{_TO}|[^\d\n]{{1,5}}(?:[2-4]{_MEANS}[^\d\n]{{1,5}}){{0,3}})1){_MEANS})"
    r"|[(\[,]?[ ]?(?:满分|滿分)(?:为|是)?[ ]?5[ ]?分?[)\],]?|5[ ]?点満点(?:中|で|の)?"
    r"|5[ ]?分制|5[ ]?점[ ]?만점(?:에서|에|중)?|5[ -]point[ ]scale",
    re.IGNORECASE,
)
OTHER_SCALE = re.compile(
    rf"(?:[(\[][ ]?|(?:scale|range|rating|score|skala|échelle|escala|scala|шкале)\b[^.\n\d]{{0,24}})"
    rf"(?<![\d.,])[01]{_TO}(?!5(?!\d))\d{{1,3}}\b"
    rf"|(?<![\d.,])[01]{_TO}(?:10|20|50|100)\b|(?:[(\[][ ]?|(?:scale|range)\b[^.\n\d]{{0,24}})0{_TO}5\b"
    r"|<(?:max|scale|out_of)[^<>\n]{0,20}>[ ]?(?!5<)\d{1,3}<"
    r"|(?:满分|滿分)(?:为|是)?[ ]?(?!5(?!\d))\d{1,3}|(?<!\d)(?!5[^\d])\d{1,3}[ ]?(?:点満点|分制|점[ ]?만점|[ -]point[ ]scale)",
    re.IGNORECASE,
)


#: A label that is none of a grade, as in "Confidence: 4/5".
_OTHER_LABEL = re.compile(r"\w[ ]?[)\]]?[ ]{0,3}[:=|][ ]{0,3}\Z")
#: Before the last of several numbers, as in "4/5 or 5/5".
_JOINED = re.compile(r"\d[ ]?(?:or|and|to|bis|oder|ou|o|[-–,/|])\Z")
_SO = re.compile(r"\b(?:so|thus|therefore|hence|overall)\b", re.IGNORECASE)
_CONDITION = re.compile(
    r"\b(?:if|unless|had|were|nobody|not|never|says?|said|claim\w*|users?|whether|when|should|why|demand\w*|want\w*"
    r"|ask\w*)\b|n['’]t\b",
    re.IGNORECASE,
)
_NUMBER_AT = re.compile(NUMBER, re.IGNORECASE)
_LABEL_ONLY = re.compile(rf"[ ]?(?:{_QUALIFIERS}[ _-]){{0,3}}(?:{_SCORE_WORDS})[ ]?", re.IGNORECASE)
_LINE_ALONE = re.compile(
    rf"^(?:[ ]{{0,8}}[-+•][ ]{{1,3}})?[ \"'“(\[{{$|#]{{0,8}}(?P<figure>{_FIGURE})[ \"'”)\]}}$|]{{0,8}}$",
    re.IGNORECASE | re.MULTILINE,
)
LEADING = re.compile(
    rf"\A\s{{0,200}}[\"'(\[]{{0,2}}(?P<figure>{NUMBER})[\"')\]]{{0,2}}(?P<mark>[ ]?[-–—:;(,.|][ ]?|\n|\)[ ])", re.IGNORECASE
)
_LIST_LINE = re.compile(r"^[ ]{0,8}\d{1,2}[ ]?[.):–-][ ]?", re.MULTILINE)


def alone(plain: str) -> re.Match[str] | None:
    """The figure that an answer is, in whatever clothes; None: it says more than that."""
    if len(plain) >= 600:
        return None
    bare = _FORMAT.sub(_blank, plain)
    return (
        _ALONE.match(plain)
        or _ALONE.match(bare)
        or (_ONE_SENTENCE.match(bare) if len(bare) < 80 else None)
        or _ALONE.match(unscaled := _OUR_SCALE.sub(_blank, bare))
        or (_ONE_SENTENCE.match(unscaled) if len(bare) < 120 else None)
    )


def fenced(plain: str) -> list[str]:
    """What stands in an answer's fences, where they are all of it but for a few words."""
    inside = [block[1] for block in _FENCED.finditer(plain)]
    return inside if len(_FENCED.sub("", plain).strip()) < 200 else []


def figure_value(found: re.Match[str]) -> tuple[int | None, int | None]:
    """The grade of a figure that was matched, and the place of its digit; None: it is no grade of ours."""
    groups = found.groupdict()
    if groups.get("word"):
        most = (groups.get("wordmax") or "five").lower()
        return (_WORDS[groups["word"].lower()] if most in ("five", "5") else None), None
    if groups.get("stars"):
        full, empty = sum(groups["stars"].count(star) for star in "★⭐🌟"), sum(groups["stars"].count(star) for star in "☆✩")
        return (full if (empty == 0 and full >= 2) or full + empty == SCALE[-1] else None), None
    whole, frac, most = groups["int"], groups.get("frac") or "", groups.get("max")
    value = int(whole) if len(whole) == 1 else 0
    on_scale = (
        value in SCALE
        and not groups.get("sign")
        and frac.strip("0") in ("", ".", ",")
        and frac.count(".") + frac.count(",") < 2
        and frac != ",000"
    )
    if most is not None and float(most.replace(",", ".")) != SCALE[-1]:
        on_scale = False
    return (value if on_scale else None), found.start("int")


def _ends_well(plain: str, end: int) -> bool:
    """Whether what follows a number leaves it a grade."""
    if NO_FIGURE.match(plain, end):
        return False
    following = _NEXT.match(plain, end)
    if following is None:
        return True
    return bool(_MAY_FOLLOW.fullmatch(following["word"])) or (following["word"] in _CRITERION and following["then"] in _WHOLE)


def statements(plain: str) -> Iterator[Statement]:
    """The statements of a grade in prose."""
    text = _OUR_SCALE.sub(_blank, _unquoted(plain))
    for statement in _all_statements(text):
        if not _follows_quote(text, statement.end - 1):
            yield statement


def _all_statements(text: str) -> Iterator[Statement]:
    yield from _marked(text)
    for pattern in (_LABELLED, _LABELLED_OTHER):
        for found in pattern.finditer(text):
            statement = _labelled(text, found, latin=pattern is _LABELLED)
            if statement is not None:
                yield statement
    yield from _lines(text)
    for found in islice(_OWN_VERB.finditer(text), _MOST_SENTENCES):
        if not _NOT_OWN.search(found["clause"]) and not _is_conditional(text, found.start()) and _ends_well(text, found.end()):
            yield Statement(figure_value(found)[0], OWN, found.start("int"), found.end())
    for found in islice(_SAID.finditer(text), _MOST_SENTENCES):
        if _is_own(text, found) and _ends_well(text, found.end()):
            yield Statement(figure_value(found)[0], SENTENCE, found.start("int"), found.end())
    for found in islice(_OF_FIVE.finditer(text), _MOST_SENTENCES):
        figure = _NUMBER_AT.match(text, found.start())
        other = _OTHER_LABEL.search(text, max(0, found.start() - 60), found.start())
        if figure is not None and other is None and _is_own(text, found) and _ends_well(text, figure.end()):
            yield Statement(figure_value(figure)[0], SENTENCE, figure.start("int"), figure.end())


def _is_conditional(text: str, place: int) -> bool:
    """Whether the sentence up to a place makes what follows a condition's or another's."""
    before = text[max(0, place - 200) : place]
    before = before[max(before.rfind(mark) for mark in ".\n;!?:") + 1 :]
    so = list(_SO.finditer(before))
    return bool(_CONDITION.search(before[so[-1].end() :] if so else before))


def _unquoted(plain: str) -> str:
    """The text without what it quotes: the data may hold grades."""
    if "```" in plain:
        plain = _FENCED.sub(_blank, plain)
    if ">" in plain and (rest := _QUOTED_LINE.sub(_blank, plain)).strip():
        plain = rest
    if "{" in plain:
        plain = _OBJECT.sub(_blank, plain)
    plain = _QUOTES.sub(_blank_quote, plain)
    return _FORMAT.sub(_blank, plain)


def _blank(found: re.Match[str]) -> str:
    return "".join("\n" if c == "\n" else " " for c in found[0])


def _blank_quote(found: re.Match[str]) -> str:
    """Blanks for a quote that holds words; a number or a label in quotes stays."""
    inside = found[0][1:-1]
    line_before = found.string.rfind("\n", max(0, found.start() - 200), found.start()) + 1
    alone = not found.string[line_before : found.start()].strip(" *#-") and found.end() < len(found.string)
    if not any(c.isalpha() for c in inside):
        # "4" after a label is the grade; "4" in a sentence is somebody's.
        before = found.string[max(0, found.start() - 3) : found.start()].rstrip(" *_")
        return found[0] if not before or before[-1] in ":=|\n([>-–" else " " * len(found[0])
    if _LABEL_ONLY.fullmatch(inside) and (alone or found.string[found.end() : found.end() + 2].strip()[:1] in (":", "=")):
        return found[0]
    if found[0][0] == "`" and not found.string[found.end() : found.end() + 80].split("\n", 1)[0].strip(" *.") and alone:
        return found[0]
    return " " * len(found[0])


def _marked(text: str) -> Iterator[Statement]:
    for found in _MARKED.finditer(text):
        yield Statement(figure_value(found)[0], FINAL, found.start("int"), found.end())
    for found in _BRACKETED.finditer(text):
        if found["figure2"]:
            figure = _NUMBER_AT.match(text, found.start("figure2"))
            if figure is not None:
                yield Statement(figure_value(figure)[0], LABEL, figure.start("int"), found.end())
        elif not NO_FIGURE.match(text, found.end()):
            yield Statement(figure_value(found)[0], FINAL, found.start("int"), found.end())
        else:
            yield Statement(None, FINAL, None, found.end())
    for found in _BOXED.finditer(text):
        line = text[text.rfind("\n", max(0, found.start() - 200), found.start()) + 1 : found.start()]
        line = _BOXED.sub("", line).strip(" $\\:")
        if not line or re.search(rf"\b(?:{_SCORE_WORDS}|final answer(?: is)?)\W{{0,6}}(?:is)?\W{{0,6}}\Z", line, re.IGNORECASE):
            yield Statement(figure_value(found)[0], LABEL, found.start("int"), found.end())


def _labelled(text: str, found: re.Match[str], *, latin: bool) -> Statement | None:
    groups = found.groupdict()
    end = found.end()
    most = (groups["gapmax"] or "5").lower()
    in_gap = [int(n) for n in re.findall(r"\d{1,4}", groups["gap"] or "")]
    other_scale = most not in ("5", "five") or (in_gap and in_gap[-1] != SCALE[-1])
    rest = text[end : end + 60].split("\n", 1)[0].strip(" \"'”’)]}>$|*.!,")
    if latin:
        weak = groups["weak"] is not None
        if groups["sep"] is None and (rest or groups["next"]) and not (groups["space"] and groups["gap"] and not rest):
            return None  # "Score 4 of the facts", and a heading over a list
        if groups["newline"] is not None and weak and groups["weak"].lower() in ("note", "quality", "answer"):
            return None
        if weak and rest and NO_FIGURE.match(text, end):
            return None
        if weak and rest and not re.match(r"[.,;)(–—-]|\Z", text[end : end + 3].lstrip(" ")):
            return None
        if groups["next"] is not None and rest:
            return None
        if (
            weak
            and groups["sep"] is not None
            and not re.search(r"[:=|>→]", groups["sep"])
            and (rest or groups["sep"].strip() not in "-–—")
        ):
            return None
    final = (
        re.search(rf"\b(?:{_FINAL_WORDS})\b", groups.get("qualifiers") or "", re.IGNORECASE)
        if latin
        else groups["final"] or groups["final2"]
    )
    if latin and groups["weak"] and groups["weak"].lower() in ("overall", "final"):
        final = True
    rank = FINAL if final else LABEL
    if groups.get("word") and _MORE_WORDS.match(text, end):
        return Statement(None, rank, None, end)
    if not _ends_well(text, end) and not (groups.get("word") or groups.get("stars")):
        if NO_FIGURE.match(text, end):
            return Statement(None, rank, None, end)
        return None
    value, place = figure_value(found)
    return Statement(None if other_scale else value, rank, place, end)


def _lines(text: str) -> Iterator[Statement]:
    """Grades that are a line, and the one that an answer begins with."""
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    alone = list(_LINE_ALONE.finditer(text))
    ends = [found for found in alone if found.start("figure") - begin < 12 or end - found.end() < 8]
    if ends:
        for found in alone:
            if not _follows_quote(text, found.start("figure")) and not NO_FIGURE.match(text, found.end("figure")):
                value, place = figure_value(found)
                yield Statement(value, LABEL, place, found.end())
    leading = LEADING.match(text)
    if leading is None or NO_FIGURE.match(text, leading.end("figure")) or leading["mark"] == "\n":
        return
    value, place = figure_value(leading)
    # "1. ..." begins a list, and so does what other lines go on with.
    if (value == 1 and leading["mark"].strip() in (".", ":", ")")) or len(_LIST_LINE.findall(text)) > 1 or leading["sign"]:
        return
    if value is not None or leading["max"]:
        yield Statement(value, LABEL, place, leading.end("figure"))


def quotes_next(before: str) -> bool:
    """Whether a line says that what follows is quoted."""
    return _SPEAKS_OF.search(before.rstrip()[-300:]) is not None


def _follows_quote(text: str, place: int) -> bool:
    """Whether the line before says that what follows is quoted."""
    line = text.rfind("\n", max(0, place - 400), place)
    before = text[max(0, line - 300) : max(0, line)].rstrip()
    return bool(line > 0 and _SPEAKS_OF.search(before.rsplit("\n", 1)[-1]))


def _is_own(text: str, found: re.Match[str]) -> bool:
    """Whether a sentence says the judge's own grade."""
    start = found.start("figure")
    before = text[max(0, start - 300) : start].rstrip(" :=\"'([{$")
    if _JOINED.search(before):
        return False
    return not _NOT_OWN.search(before[max(before.rfind(mark) for mark in ".\n;!?:") + 1 :])
