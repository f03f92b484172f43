"""Which folders a container sees."""

from __future__ import annotations

from curator_slurm.launcher.environments.container import Mount
from curator_slurm.launcher.environments.mounts import folder_of, missing, without_doubles


def test_a_mount_that_another_one_shows_is_left_out() -> None:
    given = [Mount("/s/runs", "/s/runs"), Mount("/s", "/s"), Mount("/s/in", "/s/in", True), Mount("/s", "/s")]
    assert without_doubles(given) == (Mount("/s", "/s"),)


def test_what_may_be_written_is_kept_in_what_may_not() -> None:
    given = (Mount("/data", "/data", True), Mount("/data/out", "/data/out"))
    assert without_doubles(reversed(given)) == given


def test_another_source_is_another_mount() -> None:
    given = (Mount("/a", "/b"), Mount("/b/c", "/b/c"))
    assert without_doubles(given) == given
    hidden = (Mount("/s", "/s"), Mount("/other", "/s/x"), Mount("/s/x/y", "/s/x/y"))
    assert without_doubles(hidden) == hidden


def test_names_that_begin_alike_are_not_below_each_other() -> None:
    assert list(missing([("k", "/data2/x")], [Mount("/data", "/data")])) == [("k", "/data2/x")]
    assert list(missing([("k", "/data/x")], [Mount("/data", "/data")])) == []
    assert list(missing([("k", "/a")], [Mount("/a", "/b")])) == [("k", "/a")]  # it has another name inside


def test_a_pattern_needs_the_folder_above_its_first_wildcard() -> None:
    assert folder_of("/data/*/part-?.jsonl") == "/data"
    assert folder_of("/data/x.jsonl") == "/data/x.jsonl"
    assert folder_of("/*.jsonl") == "/"


def test_a_mount_is_read_as_it_is_written() -> None:
    for text in ("/a:/a", "/a:/b", "/a:/b:ro"):
        assert str(Mount.parse(text)) == text
    assert Mount.parse("/a") == Mount("/a", "/a")
