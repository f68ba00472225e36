"""The errors a user can meet; the command line turns each into one line and an exit code."""


class FilterdbError(Exception):
    """Base of every error filterdb raises on purpose. The message names the cause and the next step."""

    exit_code = 1


class UsageError(FilterdbError):
    """What was asked for cannot be: an unknown name, a malformed split, an impossible combination."""

    exit_code = 2


class SourceError(FilterdbError):
    """A checkpoint, table or network cannot be turned into filters."""


class LakeError(FilterdbError):
    """The lake is missing, of an unknown format version, or cannot be written."""


class IntegrityError(FilterdbError):
    """What lies in the lake is not what was committed."""

    exit_code = 4
