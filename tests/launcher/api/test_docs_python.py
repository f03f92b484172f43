"""docs/python.md: its examples run, and it names all of the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from run_dirs import own_home

import curator_slurm
from curator_slurm import Job
from curator_slurm.launcher.slurm import client

__all__ = ["own_home"]

TEXT = (Path(__file__).parents[3] / "docs" / "python.md").read_text()


@pytest.mark.long
@pytest.mark.usefixtures("own_home")
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, for real, as where there is no sbatch."""
    monkeypatch.setattr(client, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    (spec,) = re.findall(r"^```yaml spec\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    (tmp_path / "spec.yaml").write_text(spec)
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    job, again, slow = names["latest"], names["again"], names["slow"]
    assert isinstance(slow, Job)
    assert isinstance(again, Job)
    assert isinstance(job, Job)
    assert slow.state == "cancelled"
    assert job.run_dir == again.run_dir
    assert names["sizes"] == ["8\n", "16\n"]
    assert len(list(tmp_path.rglob("date.txt"))) == 1


def test_all_of_it_is_documented() -> None:
    public = {name for name in vars(Job) if not name.startswith("_")} - {"watcher", "get_info"}
    for name in public | {"run_dir", "notes"} | set(curator_slurm.__all__):
        assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", TEXT), name
