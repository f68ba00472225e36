"""croissant.json: the tree for machines, after the Croissant format 1.1 of MLCommons."""

import json

from filterdb.lake.release import Entry
from filterdb.publish import licences
from filterdb.publish.contents import Contents, Table
from filterdb.publish.metadata import PAPER_ARXIV, PAPER_AUTHORS, PAPER_TITLE, Author

PARQUET = "application/x-parquet"
TYPES = {
    "VARCHAR": "sc:Text",
    "BOOLEAN": "sc:Boolean",
    "TINYINT": "cr:Int8",
    "INTEGER": "cr:Int32",
    "BIGINT": "cr:Int64",
    "FLOAT": "cr:Float32",
    "DOUBLE": "cr:Float64",
    "TIMESTAMP": "sc:DateTime",
}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def text(contents: Contents) -> str:
    """The document; every Parquet file with its SHA-256, every table as a record set with its columns."""
    metadata = contents.metadata
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": metadata.title,
        "description": contents.description,
        "version": contents.version,
        "datePublished": contents.released.isoformat(),
        "license": _licences(contents),
        "creator": [_creator(author) for author in metadata.authors],
        "keywords": list(metadata.keywords),
        **({"url": metadata.url} if metadata.url else {}),
        "citeAs": cite_as(),
        "distribution": [*map(_file, contents.entries), _filters(contents.tables[0])],
        "recordSet": [_records(table) for table in contents.tables],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def cite_as() -> str:
    """The paper in BibTeX."""
    authors = " and ".join(f"{family}, {given}" for given, family in PAPER_AUTHORS)
    return (
        f"@inproceedings{{gavrikov2022adversarial, title={{{PAPER_TITLE}}}, author={{{authors}}}, "
        "booktitle={Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops}, "
        f"year={{2022}}, eprint={{{PAPER_ARXIV}}}, archivePrefix={{arXiv}}}}"
    )


def _licences(contents: Contents) -> list[str]:
    names = [contents.metadata.license, *(name or licences.UNKNOWN for name, _, _ in contents.licences)]
    return list(dict.fromkeys(licences.link(name) or name for name in names))


def _creator(author: Author) -> dict[str, object]:
    if author.name:
        return {"@type": "sc:Organization", "name": author.name}
    person = {"@type": "sc:Person", "name": str(author), "givenName": author.given, "familyName": author.family}
    if author.orcid:
        person["url"] = f"https://orcid.org/{author.orcid}"
    if author.affiliation:
        person["affiliation"] = {"@type": "sc:Organization", "name": author.affiliation}
    return person


def _file(entry: Entry) -> dict[str, object]:
    return {
        "@type": "cr:FileObject",
        "@id": entry.path,
        "name": entry.path,
        "contentUrl": entry.path,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": PARQUET,
        "sha256": entry.sha256,
    }


def _filters(table: Table) -> dict[str, object]:
    return {
        "@type": "cr:FileSet",
        "@id": table.name,
        "name": table.name,
        "description": table.meaning,
        "encodingFormat": PARQUET,
        "includes": table.pattern,
    }


def _records(table: Table) -> dict[str, object]:
    return {
        "@type": "cr:RecordSet",
        "@id": f"{table.name}/records",
        "name": table.name,
        "description": table.meaning,
        "field": [_field(table, column.name, column.sql_type, column.meaning) for column in table.columns],
    }


def _field(table: Table, name: str, sql_type: str, meaning: str) -> dict[str, object]:
    file = {"fileSet": {"@id": table.name}} if table.name == "filters" else {"fileObject": {"@id": table.pattern}}
    return {
        "@type": "cr:Field",
        "@id": f"{table.name}/{name}",
        "name": name,
        "description": meaning,
        "dataType": TYPES[sql_type],
        "source": {**file, "extract": {"column": name}},
    }
