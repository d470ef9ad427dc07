"""What `admap help TOPIC` prints: longer texts, by topic, each in a file of its own here."""

from __future__ import annotations

from importlib import resources

from argilla_admap.errors import InputError

__all__ = ["TOPICS", "topic"]

#: Each topic and what it is about. Its text is in the file of its name.
TOPICS = {
    "review": "queues, reviewers, blind studies, and data sets that are on Argilla already",
    "corrections": "back into the file: conflicts, ties, undo, training formats, what is left, and learning from answers",
    "costs": "what is paid, what halves it, and what never costs twice",
    "judges": "which judge, how it is asked, how its answer becomes a score, what it costs",
    "scorers": "scores in the data, a function of your own, a reference answer, a reward model",
    "formats": "every layout of preference data that is read, and what is taken for what",
    "map": "how regions, agreement and P(wrong) come about, and how far to trust them",
    "large-data": "Ray, Slurm and Kubernetes, several machines by hand, and a hundred million records on paper",
    "python": "the same commands as functions, in a script or a notebook",
    "privacy": "what is sent where, what is kept where, and how to remove it",
    "threats": "who might attack, what stands against it, and what does not",
    "argilla": "versions of Argilla, and all that is relied on of it",
    "faq": "questions of people who use Argilla, distilabel and TRL",
    "troubleshooting": "what the messages mean, and what to do",
}


def topic(name: str) -> str:
    """The text of a topic, as Markdown.

    Args:
        name: one of TOPICS.

    Raises:
        InputError: there is no such topic.
    """
    if name not in TOPICS:
        raise InputError(f"there is no topic {name!r}", hint=f"choose one of {', '.join(TOPICS)}")
    text = resources.files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    if name == "formats":
        from argilla_admap.formats.registry import FORMATS, FieldNames

        text += "".join(f"\n- {one.name}: {one.describe(FieldNames())}" for one in FORMATS) + "\n"
    return text
