"""A job that tells people of its end: by a webhook on another node, and by a command outside of the agent."""

from __future__ import annotations

import json
from pathlib import Path

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.eavesdropper import command_lines_of_all
from on_slurm.runs import WAIT_S, Runs

_HOOK = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1], "ab") as file:
            file.write(self.path.encode() + b" " + body + b"\\n")
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("0.0.0.0", 0), Handler)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"http://{os.uname().nodename}:{server.server_address[1]}/s3cret-path")
os.rename(sys.argv[1] + ".new", sys.argv[1] + ".address")
server.timeout = 0.2
while not os.path.exists(sys.argv[1] + ".stop"):
    server.handle_request()
"""


def test_a_job_tells_of_its_end(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    got, told = runs.folder / "got", runs.folder / "told"
    address = Path(f"{got}.address")
    (runs.folder / "hook.py").write_text(_HOOK)
    server = slurm_cluster.popen(["python3", "hook.py", str(got)], node=slurm_cluster.login, cwd=runs.folder)
    try:
        wait_for("the hook", address.exists, 60)
        address.chmod(0o600)
        spec = {
            "name": "tells",
            "pipeline": {"command": "exit 3"},
            "cluster": {"ray": False},
            "resources": {"nodes": 1, "cpus_per_node": 1, "mem_per_node": "500M", "time": 5},
            "notify": {
                "webhook": str(address),
                "command": f'echo "$CURATOR_SLURM_NOTICE_EVENT on $(hostname)" >>{told}; cat >>{told}; sleep 2',
                "body": {"text": "${name} is ${state}: ${failure_class}"},
            },
        }
        with command_lines_of_all(slurm_cluster, runs.folder) as lines:
            job = runs.submit(spec)["job_id"]
            slurm_cluster.wait_for_job(job, timeout=WAIT_S)
            wait_for("both", lambda: got.exists() and told.exists(), 60)
    finally:
        Path(f"{got}.stop").touch()
        server.wait(60)
    runs.assert_nothing_left()
    (line,) = got.read_text().splitlines()
    assert line == '/s3cret-path {"text": "tells is failed: app_failed"}'
    first, second = told.read_text().splitlines()
    assert first.startswith("needs_help on n")
    assert json.loads(second)["job_id"] == job
    assert not [line for line in lines if "s3cret-path" in line or "CURATOR_SLURM_NOTICE" in line]
    assert "s3cret-path" not in runs.read(f"slurm-{job}.log") + runs.read("elements/*/nodes/*/agent.log")
    assert runs.command("status", "--notify").returncode == 6
    assert len(told.read_text().splitlines()) == 2, "told again"
