"""The documentation as a site: it builds strictly, and needs no other host."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    find_spec("material") is None and not os.environ.get("CI"),
    reason="THE SITE IS NOT BUILT: mkdocs-material is not installed; pip install -e '.[dev]'",
)


class Loaded(HTMLParser):
    """What a browser loads for a page: scripts, styles, images, fonts; not what a reader may click."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag != "a":
            self.addresses += [given[key] for key in ("src", "href", "srcset", "data") if given.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_docs_is_in_the_site(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


def test_pages_load_nothing_from_other_hosts(site):
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert not [address for address in loaded.addresses if re.match(r"(https?:)?//", address)], page


def test_styles_load_nothing_from_other_hosts(site):
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//[^)]*|@import[^;]*//[^;]*", style.read_text(encoding="utf-8"))


def test_the_search_index_is_readable_without_a_server(site):
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = ")
    assert "heartbeat" in index
    assert "Worker" in (site / "iframe-worker.js").read_text(encoding="utf-8")


def test_specs_are_highlighted_as_yaml(site):
    assert "yaml spec" not in (site / "spec.html").read_text(encoding="utf-8")
