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

ADDRESS = re.compile(r"hf:(?://)?(?:datasets/)?([^/@]+/[^/@]+)(?:@([^/]+))?/?")


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
            raise SourceError(f"hf:{self.repository}: {path}: {first_line(error)}") from error


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
        raise SourceError(f"hf:{repository}: {first_line(error)}") from error


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


def first_line(error: Exception) -> str:
    """What an error of the client says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
