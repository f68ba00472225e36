"""A tree as a dataset repository on Hugging Face: created, uploaded, resumed by doing it again, compared at the end."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filterdb.errors import FilterdbError, IntegrityError, UsageError
from filterdb.lake import hub
from filterdb.lake.release import Release
from filterdb.publish.manifest import files_below

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TABLES = ["data/*", "meta/*"]
LISTED = 3


class UploadError(FilterdbError):
    """A tree is not, or not wholly, where it was to go."""


@dataclass(frozen=True)
class Uploaded:
    """A tree that is up and was compared with the one here."""

    url: str
    commit: str
    n_files: int


def upload(root: Path, repository: str, *, private: bool = False) -> Uploaded:
    """Make the dataset `repository` (NAME/NAME) the tree in `root`, documents and manifest last.

    What is up already is not sent again, so a broken upload goes on when it is repeated. Tables in
    the repository that are not in the tree are removed; other files are left alone.
    Raises UsageError without a token or for a malformed name, UploadError that says what is up,
    IntegrityError if what is up differs from what is here.
    """
    release = Release(root)
    api = hub.client()
    _refuse_unready(api, repository)
    try:
        url = api.create_repo(repository, repo_type="dataset", private=private or None, exist_ok=True)
        _send(api, root, repository, "Tables", allow_patterns=TABLES)
        message = f"Tree of lake version {release.version}"
        commit = _send(api, root, repository, message, delete_patterns=TABLES)
        _compare(api, root, repository)
    except hub.failures() as error:
        raise UploadError(f"hf:{repository}: {hub.reason(error)}; {_state(api, root, repository)}") from error
    return Uploaded(str(url), commit, len(list(files_below(root))))


def _refuse_unready(api: "HfApi", repository: str) -> None:
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UsageError(f"{repository!r} is no name of a repository: {hub.reason(error)}") from error
    if "/" not in repository:
        raise UsageError(f"{repository!r}: name the owner too, as in OWNER/{repository}")
    if get_token() is None:
        raise UsageError("Hugging Face wants a token: run 'hf auth login', or set HF_TOKEN")


def _send(api: "HfApi", root: Path, repository: str, message: str, **patterns: list[str]) -> str:
    done = api.upload_folder(
        repo_id=repository, folder_path=root, repo_type="dataset", commit_message=message, **patterns
    )
    return done.oid


def _compare(api: "HfApi", root: Path, repository: str) -> None:
    """Checksums of all files there, as the hub computed them, against those here."""
    found = api.verify_repo_checksums(repository, repo_type="dataset", local_dir=root)
    stray = [path for path in found.missing_paths if path.startswith(("data/", "meta/"))]
    wrong = [*(mismatch["path"] for mismatch in found.mismatches), *found.extra_paths, *stray]
    if wrong:
        raise IntegrityError(f"hf:{repository} differs from {root} in {_some(wrong)}; run the same command again")


def _state(api: "HfApi", root: Path, repository: str) -> str:
    """What is up and what is not, as far as the hub tells."""
    wanted = list(files_below(root))
    try:
        there = set(api.list_repo_files(repository, repo_type="dataset"))
    except hub.failures():
        return f"how much of its {len(wanted)} files is up is not known; run the same command again, it goes on"
    missing = [path for path in wanted if path not in there]
    if not missing:
        return f"all {len(wanted)} files are up, but were not compared; run the same command again"
    up = len(wanted) - len(missing)
    return f"{up} of {len(wanted)} files are up, not {_some(missing)}; run the same command again, it goes on"


def _some(paths: list[str]) -> str:
    rest = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return ", ".join(paths[:LISTED]) + rest
