"""Every example runs as it is written, with one command, on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_cluster import requirements

from examples.facts import EXAMPLES, FACTS, ON_SLURM, SPECS, TESTED_ELSEWHERE, module

TIMEOUT_S = 600


BACKENDS = os.environ.get("EXAMPLES_ON", "").split()
"""Executors to run each example on, one after the other (`make examples`); by default the one that its spec names."""


HERE = SPECS if BACKENDS or requirements.obstacle() else [path for path in SPECS if path.parent.name not in ON_SLURM]
"""Each example runs once in the suite; `make examples` runs them all here."""


def run(spec: Path, runs: Path, backend: str | None = None) -> tuple[dict[str, Any], Path, str]:
    """`curator-slurm run`: the final status, the newest attempt, and what was shown on the way."""
    setting = ["--set", f"executor.backend={backend}"] if backend else []
    environment = {**os.environ, "CURATOR_SLURM_RUNS": str(runs), "XDG_STATE_HOME": str(runs.parent / "state")}
    done = subprocess.run(
        [Path(sys.executable).with_name("curator-slurm"), "run", spec, "--cluster", "local", "--json", *setting],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment, cwd=runs.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    status = json.loads(done.stdout)
    return status, Path(status["paths"]["attempt"]), done.stderr


@pytest.mark.ray
@pytest.mark.parametrize("backend", BACKENDS or [None])
@pytest.mark.parametrize("spec", HERE, ids=lambda path: path.parent.name)
def test_it_runs_as_written(spec: Path, backend: str | None, tmp_path: Path) -> None:
    status, attempt, shown = run(spec, tmp_path / "runs", backend)
    assert status["state"] == "completed"
    outputs = Path(status["paths"]["outputs"])
    assert any(path.stat().st_size for path in outputs.rglob("*") if path.is_file())
    facts = FACTS.get(spec.parent.name)
    if facts is not None:
        progress = json.loads((attempt / "progress.json").read_text())
        facts(outputs, progress, attempt / "failures.jsonl")
        assert "running" in shown
        backend = backend or yaml.safe_load(spec.read_text())["executor"]["backend"]
        _check_experimental(backend, (attempt / "driver.log").read_text())


def _check_experimental(backend: str, log: str) -> None:
    """Said once, as a line that can be read, where the executor is one of Ray's."""
    said = [line for line in log.splitlines() if "ExperimentalWarning" in line]
    assert len(said) == (0 if backend == "xenna" else 1), said
    assert all("Executor is experimental" in line for line in said)


def test_none_is_forgotten() -> None:
    """Each has its files, a test, and a line in the list of all."""
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert len(SPECS) >= 4
    assert {path.parent.name for path in SPECS} >= set(FACTS)
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith(("__", "."))}
    assert folders == {path.parent.name for path in SPECS} | set(TESTED_ELSEWHERE)
    assert all((EXAMPLES.parent / "tests" / test).exists() for test in TESTED_ELSEWHERE.values())
    assert all(f"({name}/" in listed for name in folders)
    for name in FACTS:
        assert {"README.md", "spec.yaml"} <= {path.name for path in (EXAMPLES / name).iterdir()}
        assert f"({name}/README.md)" in listed
        assert (
            f"curator-slurm run examples/{name}/spec.yaml --cluster local"
            in (EXAMPLES / name / "README.md").read_text()
        )


@pytest.mark.parametrize(("example", "package"), [("classification", "magika"), ("images", "Pillow")])
def test_a_missing_extra_is_named(example: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = module(example, "pipeline")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=rf"needs {package}: pip install .*"):
        pipeline.build(str(tmp_path))


@pytest.mark.parametrize("size", [8, 100, 1024, 4095, 4096, 4097, 20_000])
@pytest.mark.parametrize("white", [b"", b" \n" * 40])
def test_the_classifier_takes_what_its_package_takes(size: int, white: bytes, tmp_path: Path) -> None:
    """Content types are those of the package's own class, which runs on CPUs only."""
    import magika

    model = module("classification", "magika_model")
    text = (b"import os\n\ndef name(path):\n    return os.path.basename(path)\n" * 400)[:size]
    path = tmp_path / "a"
    path.write_bytes(white + text + white)
    content = path.read_bytes()
    row = model.features(content[: model.BLOCK], content[-model.BLOCK :])
    ((kind, score),) = model.Model(gpu=True, threads=1).classify(row[None])
    theirs = magika.Magika().identify_bytes(content)
    if len(content) >= model.SHORTEST and str(theirs.dl.label) != "undefined":
        assert (kind, score) == (str(theirs.dl.label), pytest.approx(theirs.score, abs=1e-5))
    else:
        assert size == 8
