"""A language model as the judge: the question, its rubric, and the grade in its answer."""
