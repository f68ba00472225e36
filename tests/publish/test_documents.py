"""README, CITATION, DATASHEET, LICENSES, filterdb.sql: valid, computed, and true of the data."""

import re

import duckdb
import pytest
import yaml

import filterdb
from filterdb.publish import yaml as own_yaml
from filterdb.publish.contents import EXAMPLES


@pytest.fixture
def readme(tree):
    return (tree / "README.md").read_text("utf-8")


@pytest.fixture
def front_matter(readme):
    return yaml.safe_load(readme.split("---\n")[1])


@pytest.fixture
def plain(tree, monkeypatch):
    """DuckDB as `duckdb -init filterdb.sql` leaves it, without filterdb."""
    monkeypatch.chdir(tree)
    with duckdb.connect() as connection:
        connection.execute((tree / "filterdb.sql").read_text("utf-8"))
        yield connection


def test_the_card_has_a_configuration_for_every_table(front_matter, plain):
    assert [config["config_name"] for config in front_matter["configs"]] == [
        "filters",
        "models",
        "layers",
        "pairs",
        "skips",
    ]
    assert [config["config_name"] for config in front_matter["configs"] if config.get("default")] == ["filters"]
    for info in front_matter["dataset_info"]:
        (split,) = info["splits"]
        assert plain.sql(f"SELECT count(*) FROM {info['config_name']}").fetchall() == [(split["num_examples"],)]
        assert info["download_size"] > 0


def test_the_card_carries_licences_size_and_the_paper(front_matter):
    assert front_matter["license"] == ["cc-by-4.0", "mit", "apache-2.0"]
    assert front_matter["size_categories"] == ["n<1K"]
    assert "arxiv:2204.02481" in front_matter["tags"]
    assert front_matter["pretty_name"] == "Filters of toys: a | test"


def test_the_card_is_one_that_the_hub_reads(readme):
    from huggingface_hub import DatasetCard

    card = DatasetCard(readme)
    assert card.data.license == ["cc-by-4.0", "mit", "apache-2.0"]
    assert card.text.lstrip().startswith("# Filters of toys")


def test_the_answers_on_the_card_are_those_of_plain_duckdb(readme, plain):
    blocks = re.findall(r"```sql\n(.*?)\n```\n\n(.*?)\n(?:\n|$)", readme, re.S)
    assert len(blocks) == len(EXAMPLES) == 10
    for statement, table in blocks:
        relation = plain.sql(statement.rstrip(";"))
        rows = relation.fetchall()
        lines = table.splitlines()
        assert lines[0] == f"| {' | '.join(relation.columns)} |"
        assert len(lines) - 2 == min(len(rows), 8)
        assert lines[2].startswith(
            f"| {str(rows[0][0]).lower() if rows[0][0] in (True, False) else rows[0][0]} |".replace("None", "")
        )


def test_the_python_on_the_card_runs(readme, tree, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blocks = re.findall(r"```python\n(.*?)\n```", readme, re.S)
    assert len(blocks) == 3
    for block in blocks[:2]:
        exec(block, {})
    assert "local/robust-a" in capsys.readouterr().out


def test_plain_sql_sees_what_filterdb_sees(tree, plain):
    questions = (
        "SELECT count(*), sum(w4)::FLOAT FROM filters",
        "SELECT count(*), round(sum(depth), 6) FROM layers",
        "SELECT count(*), sum(n_filters)::BIGINT FROM models",
        "SELECT * FROM pairs ORDER BY ALL",
        "SELECT * FROM skips ORDER BY ALL",
        "SELECT count(*), count(architecture) FROM filter_facts",
        "SELECT round(merge_moments(scaled_moments).c44, 9) FROM layers",
        "SELECT round(scaled_moments(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs).c44, 4) FROM filters",
    )
    with filterdb.open(tree) as db:
        for question in questions:
            assert plain.sql(question).fetchall() == db.sql(question).fetchall()


def test_the_macros_alone_run_anywhere(capsys):
    from filterdb import cli

    assert cli.run(["sql-kit"]) == 0
    with duckdb.connect() as connection:
        connection.execute(capsys.readouterr().out)
        assert connection.sql("SELECT largest_magnitude(1, -3, 2, 0, 0, 0, 0, 0, 0)").fetchall() == [(3,)]


def test_the_citation_is_whole(tree):
    found = yaml.safe_load((tree / "CITATION.cff").read_text("utf-8"))
    assert found["cff-version"] == "1.2.0"
    assert (found["title"], found["version"], found["doi"]) == ("Filters of toys: a | test", "1.2.0", "10.1234/toys")
    assert found["date-released"] == "2025-03-31"
    assert found["authors"][0] == {
        "family-names": "Lovelace",
        "given-names": "Ada",
        "affiliation": "Analytical Engines",
        "orcid": "https://orcid.org/0000-0002-1825-0097",
    }
    assert found["authors"][1] == {"name": "The toy makers"}
    assert found["references"][0]["authors"][0]["family-names"] == "Gavrikov"
    assert found["references"][1]["doi"] == "10.5281/zenodo.6414075"


def test_the_datasheet_counts(tree):
    text = (tree / "DATASHEET.md").read_text("utf-8")
    assert "There are 378, of which" in text
    assert "in 12 layers of 3 networks, and 1 pairs" in text
    assert "| clean_accuracy | 2 |" in text


def test_the_licences_name_every_network(tree):
    text = (tree / "LICENSES.md").read_text("utf-8")
    assert "| local/robust-a | [MIT](https://spdx.org/licenses/MIT.html) | 90 |" in text
    assert "[Apache-2.0]" in text
    assert "## Left out" in text


@pytest.mark.parametrize(
    "document",
    [
        {"a": "x: y # no", "b": [1, 2.5, True, "null", "- x"], "c": {"d": [{"e": "'", "f": {"g": "ü\n"}}, {"e": "1"}]}},
        {"empty": "", "none": None, "kept": 0, "list": [], "flag": False},
    ],
)
def test_yaml_is_read_back_as_it_was_meant(document):
    kept = {key: value for key, value in document.items() if value not in ("", None, [])}
    assert yaml.safe_load(own_yaml.dump(document)) == kept
