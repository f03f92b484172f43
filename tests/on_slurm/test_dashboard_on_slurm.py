"""Ray's dashboard of a running run by a step of Slurm, for its user alone."""

from __future__ import annotations

import re

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.runs import WAIT_S, Runs, program

_TEXT = """
import pathlib
folder = pathlib.Path(sys.argv[1])
(folder / "begun").touch()
while not (folder / "enough").exists():
    time.sleep(0.2)
"""
_GET = """
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost", timeout=60)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
headers = {"Authorization": "Bearer " + open(sys.argv[3]).read()} if len(sys.argv) > 3 else {}
connection.request("GET", sys.argv[2], headers=headers)
answer = connection.getresponse()
print(answer.status, len(answer.read()))
"""


def test_the_dashboard_by_a_step_of_slurm(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    spec = program(_TEXT, nodes=1, cluster={"dashboard": True})
    spec["pipeline"]["command"].append(str(runs.folder))
    runs.folder.chmod(0o777)
    (runs.folder / "get.py").write_text(_GET)
    run = runs.submit(spec)
    wait_for("the run", (runs.folder / "begun").exists, WAIT_S)

    by_ssh = runs.command("dashboard", "program")
    assert re.search(r"ssh -N -L localhost:8265:127\.0\.0\.1:\d+ -J alice@\S+ alice@n\d", by_ssh.stdout), by_ssh.output
    printed = runs.command("dashboard", "program", "--through", "srun", "--port", "9000").stdout
    found = re.search(r"ssh -t -L localhost:9000:(\S+) alice@\S+ '(.+)'", printed)
    assert found, printed
    socket, there = found.groups()
    token = re.search(r"cat (\S+)", printed)
    assert token

    pid = runs.folder / "pid"
    env = {"CURATOR_SLURM_RUNS": str(runs.runs_dir)}
    tunnel = slurm_cluster.popen(["sh", "-c", f"echo $$ >{pid}; exec {there}"], cwd=runs.folder, env=env)
    try:
        wait_for("the tunnel", lambda: slurm_cluster.run(["test", "-S", socket]).returncode == 0, 90)

        def get(path: str, *more: str, user: str = "alice") -> str:
            command = ["python3", str(runs.folder / "get.py"), socket, path, *more]
            done = slurm_cluster.run(command, user=user, timeout=90)
            return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

        assert re.fullmatch(r"200 \d{3,}", get("/"))
        assert get("/nodes?view=summary").startswith("401")
        assert get("/nodes?view=summary", token[1]).startswith("200")
        other = slurm_cluster.other_user
        assert "Permission denied" in get("/", user=other)
        asked = slurm_cluster.run(["curator-slurm", "dashboard", run["run_dir"]], user=other, env=env)
        assert asked.returncode != 0
        assert token[1] not in asked.stdout
        assert "cannot be read: permission denied" in asked.stderr
        step = ["srun", f"--jobid={run['job_id']}", "--overlap", "true"]
        assert slurm_cluster.run(step, user=other).returncode != 0
        slurm_cluster.run(["kill", "-INT", pid.read_text().strip()], check=True)
        assert tunnel.wait(60) == 0
        assert slurm_cluster.run(["test", "-e", socket]).returncode != 0
    finally:
        (runs.folder / "enough").touch()
        tunnel.kill()
        tunnel.wait(60)
    slurm_cluster.wait_for_job(run["job_id"], timeout=WAIT_S)
    assert runs.status()["state"] == "completed"
    assert "is completed" in runs.command("dashboard", "program").stderr
    runs.assert_nothing_left()
