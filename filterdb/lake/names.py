"""Names of files and folders in a lake."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

from filterdb.errors import IntegrityError, UsageError

MAX_NAME_BYTES = 200
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
MANIFEST = "MANIFEST.parquet"


def filters_path(dataset: str | None, robust: bool | None, model: str, ingest_id: str) -> str:
    """Where a network's filters lie below `filters/`: Hive-named folders, readable by any tool."""
    parts = {"dataset": dataset, "robust": robust, "model": model}
    folders = "/".join(f"{key}={folder_name(key, value)}" for key, value in parts.items())
    return f"{folders}/part-0-{ingest_id}.parquet"


def ingest_id_of(path: Path) -> str:
    """The write that made a file of filters, from its name; IntegrityError if it cannot be one."""
    match = re.fullmatch(r"part-\d+-([0-9a-f]{32})\.parquet", path.name)
    if match is None:
        raise IntegrityError(f"the log of filters names {path.name!r}, which is no file of a network: refused")
    return match.group(1)


def folder_name(key: str, value: str | bool | None) -> str:
    """`value` as the name of a Hive folder: percent-encoded, so that slashes, dots and globs are harmless."""
    if value is None:
        return HIVE_NULL
    try:
        encoded = quote(str(value).lower() if isinstance(value, bool) else value, safe="").replace("~", "%7E")
    except UnicodeEncodeError as error:
        raise UsageError(f"{key} {value!r} holds what is no character") from error
    if not encoded or len(encoded) > MAX_NAME_BYTES:
        raise UsageError(
            f"{key} {value[:60]!r}… must be 1 to {MAX_NAME_BYTES} bytes long in a folder's name, not {len(encoded)}"
        )
    return encoded.replace(".", "%2E") if set(encoded) == {"."} else encoded


def model_of(path: Path) -> str:
    """The network whose filters a file holds, from its folder."""
    return unquote(path.parent.name.removeprefix("model="))
