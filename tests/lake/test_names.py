"""Folder names: any id round-trips, none escapes its folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterdb.errors import UsageError
from filterdb.lake.names import filters_path, folder_name, ingest_id_of, model_of

ID = "0" * 31 + "a"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_every_model_id_round_trips_through_its_path(model):
    path = Path(filters_path("cifar10", True, model, ID))
    assert model_of(path) == model
    assert ingest_id_of(path) == ID
    assert len(path.parts) == 4
    assert not set("*?[]'\"\\ \n\0") & set(str(path))


@pytest.mark.parametrize("model", ["..", ".", "a/../../b", "/etc/passwd", "~root", "-rf", "a\nb", "é", "x'y"])
def test_hostile_ids_stay_one_folder(model):
    path = filters_path("d", False, model, ID)
    assert path.count("/") == 3
    assert ".." not in Path(path).parts
    assert model_of(Path(path)) == model


@pytest.mark.parametrize("value", ["", "x" * 201, "é" * 100])
def test_names_that_no_file_system_takes_are_refused(value):
    with pytest.raises(UsageError, match="must be 1 to 200 bytes"):
        folder_name("model", value)


def test_unknown_facts_have_the_folder_that_hive_gives_them():
    assert filters_path(None, None, "m", ID).startswith(
        "dataset=__HIVE_DEFAULT_PARTITION__/robust=__HIVE_DEFAULT_PARTITION__/model=m/"
    )
