"""What a first site file says of network, storage and software, by the answers of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.site.site_file import read_site_text
from curator_slurm.launcher.survey import draft_nodes
from curator_slurm.launcher.survey.commented_yaml import DECIDE, Block, Key, Words, rendered
from curator_slurm.launcher.survey.draft_nodes import acts, internet_of, node_blocks
from curator_slurm.launcher.survey.probe_report import ProbeReport, parse_report

DATA = Path(__file__).parent / "data"
RECORDED, DISKLESS = ((DATA / name).read_text() for name in ("mixed/probe.txt", "diskless.txt"))


def text_of(**reports: str) -> str:
    found: Mapping[str, ProbeReport] = {name: parse_report(text) for name, text in reports.items()}
    return rendered(node_blocks(found))


def one_line(text: str) -> str:
    return " ".join(text.replace("#", " ").split())


def test_nodes_with_a_disk_and_one_interface() -> None:
    text = text_of(main=RECORDED, gpu=RECORDED)
    values = yaml.safe_load(text)
    assert values == {"network": {"internet": "no"}, "storage": None, "environment": None}
    assert read_site_text(text, "site.yaml", Path("/")).value["network"] == {"internet": "no"}
    assert "interface eth0 10.0.0.11/24 10 Gbit/s" in text
    assert "/tmp is on a disk of each node" in text
    assert "open files (ulimit -Hn) are 20,000 on n1" in one_line(text)


def test_nodes_without_disk_behind_a_proxy() -> None:
    text = text_of(gpu=DISKLESS)
    values = read_site_text(text, "site.yaml", Path("/")).value
    assert values["network"] == {
        "internet": "proxy",
        "proxy": {"https": "http://proxy:3128"},
        "interface": ["hsn0"],
    }
    assert "# /nvme: xfs, 3072 GiB" in text
    assert "/tmp: memory, which counts in the job's, 125 GiB" in text
    assert values["storage"] == {"node_local": {"path": "/nvme", "size": "3072G"}}
    assert "Shared on the nodes: /scratch (lustre)." in one_line(text)
    assert "there is a module command: Lmod 8.3.17" in text
    assert "the own name of nid005000 is an address of the loopback there" in one_line(text)
    assert "1024 to 65535: the agents choose others" in one_line(text)
    only_memory = DISKLESS.replace("disk\t/nvme", "disk\t/other").replace("|xfs|", "|nfs|")
    assert "node_local: {path: /tmp, is_memory: true}" in text_of(gpu=only_memory)


def test_partitions_that_differ() -> None:
    text = one_line(text_of(main=RECORDED, gpu=RECORDED, low=DISKLESS))
    assert 'internet: "no" HTTPS from main, gpu' in text
    assert f"{DECIDE} other partitions have another: low: proxy" in text
    assert "the probed nodes have none in common" in text


def test_without_probes_all_is_left_to_decide() -> None:
    text = text_of()
    assert yaml.safe_load(text) == {"network": None, "storage": None, "environment": None}
    assert "site init --probe tries it" in text


@pytest.mark.parametrize(("found", "value"), [("direct", "nat"), ("none", "no"), ("proxy", "proxy"), ("unknown", None)])
def test_internet(found: str, value: str | None) -> None:
    assert internet_of(parse_report(RECORDED.replace("internet\tnone", f"internet\t{found}"))) == value
    public = RECORDED.replace("internet\tnone", f"internet\t{found}").replace("10.0.0.11", "8.8.8.8")
    assert internet_of(parse_report(public)) == ("yes" if found == "direct" else value)


def test_what_this_version_does_not_act_on_is_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert acts("network.internet")
    assert not acts("network.nonsense")
    monkeypatch.setattr(draft_nodes, "WITHOUT_EFFECT", ("container",))
    assert "# runtimes: [singularity]" in text_of(gpu=DISKLESS)
    monkeypatch.setattr(draft_nodes, "WITHOUT_EFFECT", ())
    values = read_site_text(text_of(gpu=DISKLESS), "site.yaml", Path("/")).value
    assert values["container"] == {"runtimes": ["singularity"]}
    assert Site.model_validate({"container": values["container"]}).container.runtimes == ["singularity"]


def test_a_password_of_a_proxy_stays_where_it_is() -> None:
    for given in ("http://alice:s3c@ret@proxy:3128", "alice:s3cret@proxy:3128"):
        text = text_of(gpu=DISKLESS.replace("http://proxy:3128", given))
        assert yaml.safe_load(text)["network"]["proxy"]["https"] == given.replace("alice:s3c@ret@", "").replace(
            "alice:s3cret@", ""
        )
        assert "s3c" not in text
        assert "the proxy asks for a password" in one_line(text)


def test_words_of_others_do_no_harm() -> None:
    """As of a plug-in that writes in colours."""
    words = "\x1b[31mno\x1b[0m \x1b]0;title\x07\u2028locked: [a]\x85b"
    for long in ("", "a word " * 40):
        text = rendered([Block("a", [Key("b", 1, words + long), Words(words + long)])])
        assert yaml.safe_load(text) == {"a": {"b": 1}}
        assert "\x1b" not in text


def test_comments_fit_and_values_are_those_that_were_meant() -> None:
    long = "a word " * 40
    text = rendered([Block("a", [Key("yes", "no", long), Words(long), Key("b", "1:00:00"), Key("c", [1], off=True)])])
    assert yaml.safe_load(text) == {"a": {"yes": "no", "b": "1:00:00"}}
    assert max(map(len, text.splitlines())) <= 120
    assert "  # c: [1]" in text.splitlines()
