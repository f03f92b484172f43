"""Hostile specs: refused in words, or a script in which nothing of theirs runs. See fuzz_specs."""

from pathlib import Path

import pytest
from fuzz_specs import CANARY, problem, specs

BLOCKS = 8
EACH = 40


@pytest.mark.long
@pytest.mark.parametrize("block", range(BLOCKS))
def test_specs_at_random(block: int, tmp_path: Path) -> None:
    for text in specs(seed=1000 + block, count=EACH):
        found = problem(text, tmp_path)
        assert found is None, f"{found}\n{text!r}"


@pytest.mark.long
def test_specs_at_random_are_not_all_refused(tmp_path: Path) -> None:
    """The canary is looked for: many specs pass, and a value that runs is found."""
    passed = 0
    for text in specs(seed=1, count=60):
        (tmp_path / "job.sbatch").unlink(missing_ok=True)
        problem(text, tmp_path)
        passed += (tmp_path / "job.sbatch").exists()
    assert passed >= 6
    setup = f"name: demo\npipeline: {{command: a}}\nenvironment: {{setup: ['touch {CANARY}']}}\n"
    assert "a value ran" in (problem(setup.encode(), tmp_path) or "")


BASE = "name: demo\npipeline: {command: a}\n"
KEYS = "".join(f"k{number}: 1\n" for number in range(20_000))


@pytest.mark.parametrize(
    "text",
    [
        BASE + KEYS,
        BASE + "resources:\n" + "".join(f"  {line}\n" for line in KEYS.splitlines()),
        BASE + "executor:\n  config:\n" + "".join(f"    {line}\n" for line in KEYS.splitlines()),
        BASE + "resources:\n  sbatch:\n" + "".join(f"    {line}\n" for line in KEYS.splitlines()),
        BASE + "resources: {nodes: 0x" + "f" * 5000 + "}\n",
        BASE + "resources: {nodes: " + "9" * 5000 + "}\n",
        BASE + "resources: {gpus_per_node: '" + "9" * 5000 + "'}\n",
        BASE + 'resources: {mem_per_node: "10G\\n"}\n',
        BASE + 'resources: {time: "10:00\\n"}\n',
        BASE + 'environment: {env: {"A\\n": b}}\n',
        BASE + "resources: {gpus_per_node: ٣}\n",
        BASE + "resources: {time: '²'}\n",
        BASE + "resources: &r\n  nodes: 2\n  <<: *r\n",
        BASE + "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        BASE + "output: {path: /tmp/" + "x" * 5000 + "}\n",
        BASE + "storage: {runs: /tmp/" + "x" * 5000 + "}\n",
        BASE + "input: {paths: [/tmp/" + "x" * 5000 + "]}\n",
        BASE + "input: {manifest: /tmp/" + "x" * 5000 + ".txt}\n",
        BASE + "environment: {python: /tmp/" + "x" * 5000 + "/python}\n",
    ],
    ids=lambda text: text[len(BASE) : len(BASE) + 20],
)
def test_specs_that_were_taken_wrongly(text: str, tmp_path: Path) -> None:
    assert problem(text.encode(), tmp_path) is None
    assert not (tmp_path / "job.sbatch").exists(), "it was not refused"
