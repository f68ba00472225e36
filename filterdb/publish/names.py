"""Names that commands and the library share."""

from enum import StrEnum


class Profile(StrEnum):
    """Whom a file of filters is written for: readers of whole files, or of pieces of them."""

    ANALYSIS = "analysis"
    VIEWER = "viewer"
