"""The recipe of filters builds from its spec and runs on real documents, without Ray."""

from __future__ import annotations

import json
from pathlib import Path

from stage_loop import LoopExecutor

from curator_slurm.launcher.driver.pipeline_loader import build_pipeline
from curator_slurm.launcher.spec.spec_file import read_string
from examples.facts import EXAMPLES

NOISE = {
    "bullets.md": "\n".join(f"• item {number} of the long list that goes on." for number in range(40)),
    "notice.md": "\n\n".join(["We use cookies, and this is what the text says."] * 3 + ["See the privacy policy."] * 3),
    "same.md": "The same words again and again, to be read with care.\n\n\n\n" * 20,
    "short.md": "The end of it.",
}


def test_the_recipe_keeps_prose_and_drops_noise(tmp_path: Path) -> None:
    reading = read_string((EXAMPLES / "deduplication" / "recipe.yaml").read_text(encoding="utf-8"), "recipe.yaml")
    assert reading.spec is not None
    for name, text in NOISE.items():
        (tmp_path / name).write_text(text)
    pages = sorted(map(str, [*EXAMPLES.parent.glob("docs/**/*.md"), *tmp_path.glob("*.md")]))
    context = {"input.files": pages, "output_dir": str(tmp_path / "out")}
    tasks = build_pipeline(reading.spec.pipeline, "recipe", context).run(LoopExecutor()) or []
    lines = [line for task in tasks for path in task.data for line in Path(path).read_text().splitlines()]
    kept = {Path(document["path"]).name for document in map(json.loads, lines)}
    decisions = {path.name for path in EXAMPLES.parent.glob("docs/decisions/*.md")}
    assert len(decisions & kept) > len(decisions) / 2
    assert not kept & set(NOISE)
