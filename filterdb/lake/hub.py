"""Hugging Face, through its own client: `HF_ENDPOINT` says where it is, tokens are the client's affair."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filterdb.errors import SourceError, UsageError
from filterdb.sources.download import sha256_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ADDRESS = re.compile(r"hf:(?://datasets/)?([^/@]+/[^/@]+)(?:@([^/]+))?/?")


@dataclass(frozen=True)
class HubPlace:
    """A tree in a dataset repository, at one commit."""

    repository: str
    commit: str

    def fetch(self, path: str, target: Path, checksum: str) -> None:
        """Bring the file `path` to `target`; SourceError if it cannot be had, or is not that of `checksum`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".incoming-") as incoming:
                file = client().hf_hub_download(
                    self.repository, path, repo_type="dataset", revision=self.commit, local_dir=incoming
                )
                if not sha256_of(Path(file)).startswith(checksum):
                    raise SourceError(f"hf:{self.repository}: {path} is not the file that the manifest names")
                Path(file).rename(target)
        except failures() as error:
            raise SourceError(f"hf:{self.repository}: {path}: {reason(error)}") from error


def place(address: str) -> HubPlace:
    """The tree at hf://datasets/NAME/NAME[@REVISION] or hf:NAME/NAME, as it is now."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address!r}: write hf://datasets/NAME/NAME, with @REVISION if it is not the newest")
    repository, revision = match.groups()
    api = client()
    try:
        return HubPlace(repository, api.dataset_info(repository, revision=revision).sha)
    except failures() as error:
        raise SourceError(f"hf:{repository}: {reason(error)}") from error


def client() -> "HfApi":
    """The hub's client; UsageError says how to install it."""
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UsageError("Hugging Face needs the extra 'publish': pip install 'filterdb[publish]'") from error
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def failures() -> tuple[type[Exception], ...]:
    """What the client raises when the hub refuses or is out of reach."""
    import httpx2
    from huggingface_hub.errors import HFValidationError

    return (httpx2.HTTPError, OSError, RuntimeError, HFValidationError)


def reason(error: BaseException) -> str:
    """What an error of the client says, and what caused it, in one line."""
    said = _first_line(error)
    return said if error.__cause__ in (None, error) else _joined(said, reason(error.__cause__))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _joined(said: str, cause: str) -> str:
    return said if cause in said else f"{said}: {cause}"
