"""The site files of the package: each is valid, has its sources, and is what pages and table say of it."""

import re
import shutil
import socket

import catalogue_tables
import pytest

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.site import catalogue, layers, recognition
from curator_slurm.launcher.site.layers import load, with_site

NAMES = catalogue.names()


def test_there_are_entries_for_at_least_eight_clusters():
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_valid_and_says_where_it_is_from(name):
    site = catalogue_tables.site_of(name)
    identity = site.site
    assert not list(site.contradictions())
    assert all((identity.name, identity.about, identity.contact, identity.docs))
    assert not identity.tried
    for source in identity.sources:
        assert source.url.startswith("http")
        assert source.about
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", source.date or "")
    assert identity.sources
    assert site.partitions
    assert any(site.partition(key).choose for key in site.partitions)
    lists = dict(recognition.patterns(name))
    assert lists.get("cluster_names", []) == identity.cluster_names
    assert lists.get("hosts", []) == identity.hosts
    assert lists.get("assumed", []) == identity.assumed
    assert set(identity.assumed) <= {key for key in ("cluster_names", "hosts") if getattr(identity, key)}


def test_what_a_guess_recognises_is_called_a_guess():
    assert recognition.match("vista").by == "ClusterName vista (a guess)"
    assert recognition.match(None, "login1.vista.tacc.utexas.edu").by == "host name login1.vista.tacc.utexas.edu"
    assert "ClusterName vista (a guess)," in catalogue_tables.page("vista")


def test_pages_and_table_are_those_of_the_entries():
    for path, text in catalogue_tables.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: make docs-tables writes it again"


def test_every_entry_has_a_page_and_no_page_is_left_over():
    pages = {path.stem for path in catalogue_tables.SITES.glob("*.md")} - {"index", "keys", "catalogue"}
    assert set(NAMES) <= pages
    named = catalogue_tables.index()
    assert all(f"({name}.md)" in named for name in NAMES)


def test_no_name_leads_to_two_entries():
    for name in NAMES:
        identity = catalogue_tables.site_of(name).site
        for cluster in identity.cluster_names:
            assert recognition.match(cluster).name == name
        for pattern in identity.hosts:
            assert recognition.match(None, pattern.replace("*", "x")).name == name


def test_what_is_not_known_is_not_recognised():
    assert recognition.match("mycluster", "node1", "localhost") is None
    assert recognition.match(None, socket.gethostname()) is None


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "site.yaml")
    monkeypatch.setattr(recognition, "recognised", lambda: recognition.Recognised("vista", "ClusterName vista"))
    return {"HOME": str(tmp_path)}


def test_a_recognised_cluster_is_told_and_can_be_left_out(home, tmp_path):
    found = load(tmp_path, home)
    assert found.site().site.name == "Vista"
    assert "not tried on the machine" in " ".join(found.notes)
    assert load(tmp_path, with_site(home, "none")).site() is None
    named = load(tmp_path, with_site(home, "lumi"))
    assert (named.site().site.name, named.notes) == ("LUMI", [])


def test_where_an_administrator_has_written_none_is_recognised(home, tmp_path):
    layers.SYSTEM_FILE.write_text("site: {name: ours}\n")
    layers.SYSTEM_FILE.chmod(0o644)
    assert load(tmp_path, home).site().site.name == "ours"
    layers.SYSTEM_FILE.write_text("extends: [vista]\nsite: {contact: us}\n")
    site = load(tmp_path, home).site()
    assert (site.site.name, site.site.contact) == ("Vista", "us")


def test_entries_count_where_the_program_is_writable_by_a_group(home, tmp_path, monkeypatch):
    copy = tmp_path / "catalogue"
    shutil.copytree(catalogue.FOLDER, copy)
    (copy / "vista.yaml").chmod(0o664)
    monkeypatch.setattr(catalogue, "FOLDER", copy)
    assert load(tmp_path, home).site().site.name == "Vista"


def test_site_names_a_file_too_and_a_typo_gets_a_suggestion(home, tmp_path):
    (tmp_path / "x.yaml").write_text("site: {name: mine}\n")
    (tmp_path / "x.yaml").chmod(0o644)
    assert load(tmp_path, with_site(home, str(tmp_path / "x.yaml"))).site().site.name == "mine"
    with pytest.raises(SpecError, match="did you mean lumi-g"):
        load(tmp_path, with_site(home, "lumig"))
