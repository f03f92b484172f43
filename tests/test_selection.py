"""How tests are divided among workers."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from selection import BESIDE, CLUSTER_OF_THEIR_OWN, LONG, SHARED_RAYS, group_of

ROOT = Path(__file__).parents[1]


def test_groups():
    assert group_of("tests/launcher/test_shell.py::test_quote[a::b]") == "tests/launcher/test_shell.py"
    assert group_of("tests/slurm_cluster/test_cluster.py::test_a") == "slurm"
    assert group_of("tests/on_slurm/test_runs_on_slurm.py::test_b[xenna]") == "slurm"
    arrays = "tests/on_slurm/test_arrays_on_slurm.py"
    assert group_of(f"{arrays}::test_c") == arrays
    assert all((ROOT / "tests" / "on_slurm" / name).exists() for name in (*CLUSTER_OF_THEIR_OWN, *BESIDE))
    assert {group_of(f"tests/on_slurm/{name}::test_d") for name in BESIDE} == {"slurm beside"}
    assert all((ROOT / name).exists() for name in LONG)


def test_names_of_test_modules_are_unique():
    """pytest imports them by these names, but for those in packages."""
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = Counter(path.name for path in paths)
    assert [str(path.relative_to(ROOT)) for path in paths if names[path.name] > 1] == []


def test_modules_that_share_a_ray():
    texts = {path: path.read_text("utf-8") for path in (ROOT / "tests" / "executors").rglob("test_*.py")}
    for ray, asks in {"nodes_beside_a_head": "nodes_beside_a_head: RayNodes", "two_cpus": "two_cpus: TestRay"}.items():
        sharing = {
            str(path.relative_to(ROOT)) for path, text in texts.items() if asks in text and f"def {ray}()" not in text
        }
        others = set(SHARED_RAYS["nodes_beside_a_head"]) if ray == "two_cpus" else set()
        assert sharing - others == set(SHARED_RAYS[ray])
        assert {group_of(f"{module}::test_d") for module in SHARED_RAYS[ray]} == {ray}


def test_workers_take_whole_modules(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for module in "abcd":
        (tmp_path / f"test_{module}.py").write_text(
            "import os\nfrom pathlib import Path\n\nimport pytest\n\n@pytest.mark.parametrize('number', range(4))\n"
            "def test_it(number):\n    Path(os.environ['PYTEST_XDIST_WORKER'] + Path(__file__).stem).touch()\n"
            f"    assert ('{module}', number) != ('c', 3)\n"
        )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "selection", "-n", "2"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 15 passed" in done.stdout
    assert sorted(path.name[3:] for path in tmp_path.glob("gw*")) == ["test_a", "test_b", "test_c", "test_d"]
