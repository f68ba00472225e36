"""CITATION.cff: how to cite a release (Citation File Format 1.2.0)."""

from filterdb.publish import licences, yaml
from filterdb.publish.contents import Contents
from filterdb.publish.metadata import PAPER_ARXIV, PAPER_AUTHORS, PAPER_DATA_DOI, PAPER_TITLE, Author


def text(contents: Contents) -> str:
    """The file; the paper and its own data set are references."""
    metadata = contents.metadata
    return yaml.dump(
        {
            "cff-version": "1.2.0",
            "type": "dataset",
            "message": "If you use these data, please cite them, and the paper whose quantities they are.",
            "title": metadata.title,
            "abstract": contents.description,
            "version": contents.version,
            "date-released": contents.released.isoformat(),
            "authors": [_author(author) for author in metadata.authors],
            "license": metadata.license if licences.is_spdx(metadata.license) else "",
            "doi": metadata.doi,
            "url": metadata.url,
            "repository-code": metadata.repository,
            "keywords": list(metadata.keywords),
            "references": [_paper(), _paper_data()],
        }
    )


def _author(author: Author) -> dict[str, str]:
    if author.name:
        return {"name": author.name}
    return {
        "family-names": author.family,
        "given-names": author.given,
        "affiliation": author.affiliation,
        "orcid": f"https://orcid.org/{author.orcid}" if author.orcid else "",
    }


def _paper() -> dict[str, object]:
    return {
        "type": "conference-paper",
        "title": PAPER_TITLE,
        "authors": _paper_authors(),
        "year": 2022,
        "identifiers": [{"type": "other", "value": f"arXiv:{PAPER_ARXIV}"}],
        "url": f"https://arxiv.org/abs/{PAPER_ARXIV}",
    }


def _paper_data() -> dict[str, object]:
    return {"type": "data", "title": f"Data of: {PAPER_TITLE}", "authors": _paper_authors(), "doi": PAPER_DATA_DOI}


def _paper_authors() -> list[dict[str, str]]:
    return [{"family-names": family, "given-names": given} for given, family in PAPER_AUTHORS]
