"""`site init --probe` on a real Slurm writes a file with which a five-line spec runs as it is."""

from __future__ import annotations

import re

from on_slurm.runs import Runs

SPEC = "name: five\npipeline:\n  command: hostname\ncluster:\n  ray: false\n"


def test_a_five_line_spec_runs_with_the_first_site_file(runs: Runs) -> None:
    done = runs.command("site", "init", "--probe", "--contact", "hpc@example.org", "--wait", "240")
    assert done.returncode == 0, done.output
    assert "Warning" not in done.stderr
    text = (runs.folder / "site.yaml").read_text()
    assert len(re.findall(r"# probed on n\d: ", text)) == 3  # partitions
    assert "preempted: true" in text
    assert "PreemptMode=REQUEUE, PriorityTier=1" in text
    assert re.search(r'\n  internet: "no"', text)
    assert re.search(r"# interface eth0 10\.[\d.]+/24", text)
    assert "/tmp is on a disk of each node" in text
    assert list(runs.runs_dir.iterdir()) == []

    checked = runs.command("site", "check", "site.yaml", "--json")
    assert checked.returncode == 0, checked.output
    assert [each for each in checked.json["findings"] if each["severity"] != "note"] == []

    (runs.folder / "spec.yaml").write_text(SPEC)
    done = runs.command("run", "spec.yaml", "--site", "./site.yaml")
    assert done.returncode == 0, done.output
    assert re.search(r"^n\d$", runs.read("attempts/*/*/driver.log"), re.MULTILINE)
    script = (runs.latest() / "job.sbatch").read_text()
    assert {"#SBATCH --partition=main", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=6000M"} <= set(script.splitlines())
    runs.assert_nothing_left()
