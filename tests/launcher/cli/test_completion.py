"""What shells complete: as bash asks for it, through click."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from curator_slurm.launcher.cli import main


def completed(arguments: list[str], incomplete: str) -> list[str]:
    shell = BashComplete(main, {}, "curator-slurm", "_CURATOR_SLURM_COMPLETE")
    return [str(item.value) for item in shell.get_completions(arguments, incomplete)]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    for run in ("demo/20260101-101010-abcd", "demo/20260102-101010-abce", "other/20260103-101010-abcf"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run).chmod(0o700)
    return tmp_path / "runs"


@pytest.mark.parametrize("verb", ["status", "watch", "logs", "cancel", "retry", "collect"])
def test_names_and_ids_of_runs(verb: str) -> None:
    assert completed([verb], "d") == ["demo"]
    assert completed([verb], "2026") == [
        "20260103-101010-abcf",
        "20260102-101010-abce",
        "20260101-101010-abcd",
    ]


def test_runs_of_the_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "more" / "third" / "20260104-101010-abcg").mkdir(parents=True)
    assert completed(["status", "--runs-dir", str(tmp_path / "more")], "") == ["third", "20260104-101010-abcg"]
    assert completed(["status", "--runs-dir", str(tmp_path / "none")], "") == []


def test_settings() -> None:
    assert completed(["submit", "spec.yaml", "--set"], "resources.gpus_") == ["resources.gpus_per_node"]
    assert "shards.files_per_shard" in completed(["retry", "demo", "--set"], "")
    assert completed(["submit", "spec.yaml", "--set"], "no.such") == []
    assert completed(["submit", "spec.yaml", "--set"], "name=x") == []


def test_verbs() -> None:
    assert completed([], "su") == ["submit"]
