"""Names that questions and answers share."""

from enum import StrEnum


class Definition(StrEnum):
    """Where the paper's text and the code behind its numbers differ: which one is meant."""

    PAPER = "paper"
    PUBLISHED = "published"
