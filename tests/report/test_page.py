"""The page stands alone: whole, readable, without scripts or links elsewhere; and so a real browser finds."""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

import filterdb
from filterdb import cli
from filterdb.report import report
from filterdb.report.glossary import glossary
from filterdb.report.study import Choice
from tests.networks import random_network
from tests.report.conftest import make_lake

VOID = {"meta", "link", "img", "br"}
BROWSER_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--virtual-time-budget=10000",
)
PROBE = """<script>
addEventListener("load", () => {
  const images = [...document.images].map(image => image.complete && image.naturalWidth > 0);
  const asked = performance.getEntriesByType("resource").map(entry => entry.name);
  const found = {images, asked, width: innerWidth, content: document.documentElement.scrollWidth};
  parent.postMessage(JSON.stringify(found), "*");
});
</script></body>"""
FRAME = """<html><head><title></title></head><body>
<script>addEventListener("message", message => { document.title = message.data; });</script>
<iframe src="probed.html" style="border: 0; width: %dpx; height: 900px"></iframe>
</body></html>"""


@pytest.fixture(scope="module")
def page(zoo_lake, tmp_path_factory):
    """The page of the whole report on the made-up zoo."""
    with filterdb.open(zoo_lake, threads=2) as db:
        return report.write(db, tmp_path_factory.mktemp("page") / "report")


class Reader(HTMLParser):
    """Tags in order, and whether they close as they open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def attributes(self, tag, name):
        return [found[name] for of, found in self.tags if of == tag and name in found]


def test_the_page_is_whole_and_alone(page):
    text = page.read_text("utf-8")
    reader = Reader(text)
    assert reader.open == []
    assert all(source.startswith("data:image/svg+xml;base64,") for source in reader.attributes("img", "src"))
    assert len(reader.attributes("img", "src")) == len(list((page.parent / "figures").glob("*.svg")))
    assert not {tag for tag, _ in reader.tags} & {"script", "iframe", "object", "video", "form"}
    assert not re.search(r"url\(|@import|https?:", text)
    names = set(reader.attributes("section", "id"))
    for target in reader.attributes("a", "href"):
        assert target.removeprefix("#") in names if target.startswith("#") else (page.parent / target).is_file()


def test_the_page_reads_from_what_the_lake_holds_to_what_was_left_out(page):
    text = page.read_text("utf-8")
    names = Reader(text).attributes("section", "id")
    assert names == ["lake", *report.PARTS, "definitions", "skips"]
    words = unescape(re.sub(r"<[^>]*>", " ", text.split("</style>")[1]))
    for term, meaning in glossary(Choice()).items():
        assert term in words
        assert meaning in words
    for expected in ("zoo.lake", "definition paper, raw weights", "kernel 1x1", "0.553", "of 20 in the lake"):
        assert expected in words


def test_names_are_shown_as_they_are_and_never_obeyed(tmp_path):
    name = "<img src=x onerror=alert(1)>&'\""
    networks = [random_network(f"{kind}{i}", dataset=name, seed=i) for i in range(2) for kind in ("robust", "plain")]
    with filterdb.open(make_lake(tmp_path / "a.lake", networks)) as db:
        page = report.write(db, tmp_path / "out", only=["table1", "fig7", "claims"])
    reader = Reader(page.read_text("utf-8"))
    assert reader.open == []
    assert not reader.attributes("img", "onerror")
    assert name in unescape(page.read_text("utf-8"))


def test_names_are_no_formulas_and_lead_nowhere(tmp_path):
    name = "../../../../a$\\frac$b%2F\nc #?"
    networks = [random_network(f"{kind}{name}", dataset=name, seed=1) for kind in ("robust", "plain")]
    with filterdb.open(make_lake(tmp_path / "a.lake", networks)) as db:
        page = report.write(db, tmp_path / "out" / "deep" / "down" / "report", Choice(datasets=(name,)))
    assert {path.name for path in tmp_path.iterdir()} == {"a.lake", "out"}
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.parent.parent for path in written if path != page} == {page.parent}
    linked = [href for href in Reader(page.read_text("utf-8")).attributes("a", "href") if not href.startswith("#")]
    assert {page.parent / unquote(href) for href in linked} | {page} == set(written)


def test_the_command_writes_the_page_and_says_where(zoo_lake, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--lake", str(zoo_lake), "report", "--out", str(out), "--only", "table1,fig2", "--dataset", "cifar10"]
    assert cli.run([*arguments, "--no-pairs", "--definition", "published", "--threads", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out / 'index.html'}\n"
    assert printed.err == "table1\nfig2\n"
    assert "definition published" in (out / "index.html").read_text("utf-8")
    csv = (out / "numbers" / "table1.csv").read_text("utf-8").splitlines()
    assert csv[0].endswith("definition,weights,lake_version")
    assert all("cifar10," in line and ",published,raw," in line for line in csv[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "fig8"], "no part 'fig8' in the report; it has table1, fig1"),
        (["--dataset", "mnist"], "no trained or untrained network of data set 'mnist'"),
        (["--weights", "half"], "no network of weights 'half'; choose raw or bn_folded"),
        (["--checkpoint", "a.pt"], "--checkpoint needs --architecture"),
    ],
)
def test_what_cannot_be_reported_is_one_line(zoo_lake, tmp_path, capsys, arguments, message):
    assert cli.run(["--lake", str(zoo_lake), "report", "--out", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.fixture
def browse(tmp_path):
    """Shows a page to a browser: what the probe found, and what the console said."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to look at the page with")

    def look(text, width):
        (tmp_path / "probed.html").write_text(text.replace("</body>", PROBE), encoding="utf-8")
        (tmp_path / "frame.html").write_text(FRAME % width, encoding="utf-8")  # no window is as narrow as a phone
        options = (*BROWSER_OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000")
        command = [browser, *options, "--dump-dom", (tmp_path / "frame.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        found = json.loads(unescape(re.search(r"<title>(.*?)</title>", done.stdout).group(1)))
        found["asked"] = [address for address in found["asked"] if not address.startswith("data:")]
        return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return look


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_renders_it_without_complaint_or_network(page, browse, width):
    found, console = browse(page.read_text("utf-8"), width)
    assert found["images"]
    assert all(found["images"])
    assert found["content"] <= found["width"] == width
    assert found["asked"] == []
    assert console == []


def test_the_browser_would_tell(browse):
    wide = '<p style="width: 3000px">wide</p><img src="http://127.0.0.1:9/a.png">'
    bad = f"<html><head><title></title></head><body>{wide}<script>console.error('bad')</script></body></html>"
    found, console = browse(bad, 500)
    assert found["images"] == [False]
    assert found["asked"] == ["http://127.0.0.1:9/a.png"]
    assert found["content"] > 500
    assert any("bad" in line for line in console)
