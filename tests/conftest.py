"""Fixtures shared by all rooms."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None)  # machines are shared; time is measured in bench/
settings.load_profile("steady")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def reference_data():
    """Folder of reference facts and real filters; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FILTERDB_REFERENCE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set FILTERDB_REFERENCE_DATA to run this test")
    return folder
