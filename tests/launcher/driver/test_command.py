"""The driver of a `pipeline.command`: what it runs, and what it writes down."""

import json
import subprocess
import sys
from pathlib import Path

from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths


def drive(tmp_path: Path, command: str, environ: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the driver of a spec with this command, as the head agent does; its attempt's folder."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"name: demo\npipeline:\n  command: {command}\ncluster: {{ray: false}}\n")
    run = RunPaths(tmp_path / "run")
    attempt = ClusterPaths(run.element("1", 0), run).attempt(0)
    attempt.outputs.mkdir(parents=True, exist_ok=True)
    run.plan.write_text(make_plan(spec, [], Cluster.LOCAL, {"HOME": str(tmp_path)}).to_yaml())
    arguments = ["--run-dir", run.root, "--attempt-dir", attempt.root, "--plan", run.plan]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "curator_slurm.launcher.driver.driver", *map(str, arguments)],
        input="go none\n",
        capture_output=True,
        text=True,
        env=environ,
        check=False,
        timeout=300,
    )
    return done, attempt.root


def test_the_log_shows_the_command_as_the_spec_has_it(tmp_path: Path) -> None:
    secret = "hush'$(touch ran)"
    environ = {"PATH": "/usr/bin:/bin", "TOKEN": secret}
    for command in ("'[ ${#TOKEN} = 17 ] && [ ${env:TOKEN} = \"$TOKEN\" ]'", "[test, '${env:TOKEN}', '!=', '']"):
        done, attempt = drive(tmp_path, command, environ)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "${env:TOKEN}" in done.stdout
        assert "hush" not in done.stdout + done.stderr
        assert not [path for path in attempt.rglob("*") if path.is_file() and "hush" in path.read_text()]


def test_a_text_runs_from_a_private_file(tmp_path: Path) -> None:
    done, attempt = drive(tmp_path, "'echo $0 > ${output_dir}/zero'", {"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stdout + done.stderr
    script = attempt / "command.sh"
    assert (attempt / "work" / "outputs" / "zero").read_text() == f"{script}\n"
    assert script.stat().st_mode & 0o077 == 0


def test_a_missing_program_of_a_list_has_a_next_step(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    plain = tmp_path / "plain"
    plain.write_text("echo\n")
    for command, words in (
        ("[trian, '--fast']", "there is no program 'trian' on PATH (/usr/bin:/bin)"),
        ("[/no/such/program]", "there is no program '/no/such/program'"),
        (f"[{script}]", f"the interpreter of {script} does not exist"),
        (f"[{plain}]", "cannot be run: Permission denied"),
    ):
        done, attempt = drive(tmp_path, command, {"PATH": "/usr/bin:/bin"})
        assert done.returncode == 1
        error = json.loads((attempt / "driver.json").read_text())["error"]
        assert words in error["message"]
        assert error["failure_class"] == "environment"
        assert error["next_step"]
