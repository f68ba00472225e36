"""release.toml: read, checked key by key, and made anonymous."""

from datetime import date

import pytest

from filterdb.errors import UsageError
from filterdb.publish import metadata
from filterdb.publish.metadata import Metadata
from filterdb.publish.tree import write_tree


def test_what_is_said_is_read(release_file):
    found = metadata.load(release_file)
    assert (found.title, found.version, found.released) == ("Filters of toys: a | test", "1.2.0", date(2025, 3, 31))
    assert [str(author) for author in found.authors] == ["Ada Lovelace", "The toy makers"]
    assert found.license == "CC-BY-4.0"


def test_without_a_file_there_are_defaults():
    assert metadata.load(None) == Metadata()
    assert [str(author) for author in Metadata().authors] == ["Anonymous"]


def test_an_anonymous_tree_names_nobody(lake_root, release_file, tmp_path):
    write_tree(lake_root, tmp_path / "out", metadata.load(release_file, anonymous=True))
    secrets = ("Lovelace", "toy makers", "0000-0002-1825-0097", "example.org", "10.1234/toys", "Analytical")
    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        content = file.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, (file.name, secret)
    assert "Filters of toys" in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = [", "not TOML"),
        ("[relase]", "unknown key relase; there are release"),
        ("release = 1", "release must be a table"),
        ("[release]\ntitel = 'x'", "unknown key release.titel; there are title, version"),
        ("[release]\ntitle = 1", "release.title must be a text, not 1"),
        ("[release]\ntitle = ' '", "release.title must be a text"),
        ("[release]\nreleased = 'today'", "release.released must be a date such as 2025-03-31, not 'today'"),
        ("[release]\nreleased = 2025-03-31T10:00:00", "release.released must be a date"),
        ("[release]\nkeywords = 'x'", "release.keywords must be a list"),
        ("[release]\nauthors = []", "release.authors is empty"),
        ("[release]\nauthors = ['Ada']", "release.authors must be a table"),
        ("[[release.authors]]\ngiven = 'Ada'", "every author needs a family name"),
        ("[[release.authors]]\nname = 'Ada'\norcid = '12'", "ORCID '12' is not of the form"),
        ("[[release.authors]]\nmail = 'x'", "unknown key release.authors.mail"),
        ("[release]\ndoi = 'x'", "release.doi 'x' is not a DOI"),
        ("[release]\nurl = 'example.org'", "release.url 'example.org' must begin with https://"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    file = tmp_path / "release.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"release\.toml: ") as failure:
        metadata.load(file)
    assert message in str(failure.value)
