"""The software of a run under real bash: limits, conda and uv, and the first node that tries all of it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from script_lab import ScriptLab

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.plan.script import render
from curator_slurm.launcher.spec.ulimits import Ulimit, for_bash

TWO_NODES = {"nodes": 2}


@pytest.fixture
def lab(tmp_path: Path) -> ScriptLab:
    return ScriptLab(tmp_path)


def plan_of(lab: ScriptLab, python: str | None = "", nodes: int = 2, **environment: object) -> Plan:
    return lab.plan(Cluster.SLURM, python, environment=environment, resources={"nodes": nodes})


def assert_refused(lab: ScriptLab, plan: Plan, message: str) -> str:
    """No node but the first has begun anything; what that one says."""
    done = lab.run(plan)
    assert done.returncode == 78, done.stderr
    status = lab.node_status()
    assert status["failure_class"] == "environment"
    assert message in str(status["message"])
    assert done.argv == []
    assert not (lab.bin / "srun.argv").exists()
    return str(status["next_step"])


def test_a_module_that_there_is_not_is_said_with_its_line_before_other_nodes_start(lab: ScriptLab) -> None:
    error = 'Lmod has detected the following error:  The following module(s) are unknown: "nosuch/1"'
    lab.program("module", "[[ $2 == good ]] && exit", f"printf '%s\\n\\n' '{error}' >&2; exit 1")
    plan = plan_of(lab, modules=["good", "nosuch/1"])
    assert_refused(lab, plan, f"environment.modules: module load nosuch/1 failed: {error.replace('  ', ' ')}")


@pytest.mark.skipif(not Path("/usr/share/lmod/lmod/init/bash").exists(), reason="Lmod is not installed")
def test_the_real_lmod_says_what_it_does_not_know(lab: ScriptLab) -> None:
    message = 'Lmod has detected the following error: The following module(s) are unknown: "nosuch/1"'
    assert_refused(lab, plan_of(lab, modules=["nosuch/1"]), message)


def test_a_setup_command_that_fails_is_named_before_other_nodes_start(lab: ScriptLab) -> None:
    assert_refused(lab, plan_of(lab, setup=["true", "ls /no/such/folder"]), "this command failed: ls /no/such/folder")


def test_what_is_right_is_tried_once_and_leaves_nothing_running(lab: ScriptLab, tmp_path: Path) -> None:
    setup = [
        f'echo "${{CURATOR_SLURM_TRIAL:-}}" >>"{tmp_path}/setups"',
        f'[[ ! ${{CURATOR_SLURM_TRIAL:-}} ]] || {{ sleep 600 & echo $! >"{tmp_path}/pid"; }}',
    ]
    done = lab.run(plan_of(lab, setup=setup))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "setups").read_text().splitlines() == ["1", ""]
    assert "CURATOR_SLURM_TRIAL" not in done.environment
    pid = (tmp_path / "pid").read_text().strip()
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_notice_of_the_end_does_not_end_the_trial(lab: ScriptLab, tmp_path: Path) -> None:
    """The agents find the file, and drain."""
    setup = f'[[ ! ${{CURATOR_SLURM_TRIAL:-}} ]] || {{ kill -s USR1 $$; sleep 0.5; echo >>"{tmp_path}/tried"; }}'
    done = lab.run(plan_of(lab, setup=[setup]))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tried").exists()
    assert "--stopped" not in done.argv
    assert [path.name for path in lab.run_dir.glob("elements/*/drain")] == ["drain"]


def test_a_trial_that_fails_after_a_notice_still_fails(lab: ScriptLab) -> None:
    setup = "[[ ! ${CURATOR_SLURM_TRIAL:-} ]] || { kill -s USR1 $$; sleep 0.5; false; }"
    assert_refused(lab, plan_of(lab, setup=[setup]), "this command failed")


def test_a_signal_ends_the_trial_and_the_agent_says_how_the_run_goes_on(lab: ScriptLab, tmp_path: Path) -> None:
    """On the first node alone, and without srun."""
    setup = f'[[ ! ${{CURATOR_SLURM_TRIAL:-}} ]] || {{ echo $BASHPID >"{tmp_path}/pid"; kill -s TERM $$; sleep 600; }}'
    done = lab.run(plan_of(lab, setup=[setup]))
    assert done.returncode == 143, done.stderr
    words = (lab.run_dir / ".argv").read_text().split("\0")  # without environment.env, which says another place
    assert words[:2] == ["-m", "curator_slurm.launcher.agent.node_agent"]
    assert "--stopped" in words
    assert done.argv == []
    assert not (lab.bin / "srun.argv").exists()
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_one_node_tries_nothing_first(lab: ScriptLab, tmp_path: Path) -> None:
    done = lab.run(plan_of(lab, nodes=1, setup=[f'echo x >>"{tmp_path}/setups"']))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "setups").read_text() == "x\n"


def test_without_software_of_its_own_a_script_has_no_trial(lab: ScriptLab) -> None:
    assert "try_software" not in render(plan_of(lab))
    assert "try_software" in render(plan_of(lab, modules=["a"]))
    assert "try_software" not in render(plan_of(lab, modules=["a"]), "another.agent")


# -- limits


def test_limits_are_those_that_were_asked_for(lab: ScriptLab, tmp_path: Path) -> None:
    limits = {"nofile": 512, "stack": "4M", "core": 0}
    setup = [f'echo "$(ulimit -n) $(ulimit -s) $(ulimit -c)" >"{tmp_path}/limits"']
    assert lab.run(plan_of(lab, nodes=1, ulimits=limits, setup=setup)).returncode == 0
    assert (tmp_path / "limits").read_text() == "512 4096 0\n"


def test_a_limit_that_a_node_does_not_allow_is_said_with_what_it_allows(lab: ScriptLab) -> None:
    most = subprocess.run(["bash", "-c", "ulimit -H -n"], capture_output=True, text=True, check=True).stdout.strip()
    message = f"environment.ulimits.nofile: this node does not allow 99999999999, at most {most}"
    assert_refused(lab, plan_of(lab, ulimits={"nofile": 99999999999}), message)


def test_limits_in_the_units_of_bash() -> None:
    asked = {Ulimit.NOFILE: "65536", Ulimit.MEMLOCK: "unlimited", Ulimit.STACK: "1G", Ulimit.CORE: "0", Ulimit.AS: "10"}
    assert for_bash(asked) == [
        ("nofile", "n", "65536"),
        ("memlock", "l", "unlimited"),
        ("stack", "s", "1048576"),
        ("core", "c", "0"),
        ("as", "v", "1"),
    ]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"nofiles": 1}, "nofiles"),
        ({"nofile": "64K"}, "nofile must be a whole number or unlimited"),
        ({"stack": "much"}, "stack must be a size such as 64M, or unlimited"),
        ({"stack": True}, "stack"),
    ],
)
def test_a_wrong_limit_is_named(tmp_path: Path, limits: dict[str, object], words: str) -> None:
    spec = {"name": "x", "pipeline": {"command": "true"}, "environment": {"ulimits": limits}}
    assert words in problems(tmp_path, spec)


def problems(folder: Path, spec: dict[str, object]) -> str:
    import yaml

    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    with pytest.raises(SpecError) as caught:
        make_plan(path, [], Cluster.LOCAL, {"HOME": str(folder)})
    return str(caught.value)


# -- conda


@pytest.fixture
def prefix(lab: ScriptLab, tmp_path: Path) -> Path:
    """What a conda environment is, as far as activation goes."""
    folder = tmp_path / "prefix"
    for name in ("bin", "conda-meta", "etc/conda/activate.d"):
        (folder / name).mkdir(parents=True)
    shutil.copy(lab.python, folder / "bin" / "python")
    (folder / "etc/conda/activate.d/cuda.sh").write_text("export OF_ACTIVATION=$CONDA_PREFIX\n")
    return folder


def test_a_prefix_needs_no_conda(lab: ScriptLab, prefix: Path) -> None:
    done = lab.run(plan_of(lab, None, conda=str(prefix)))
    assert done.returncode == 0, done.stderr
    assert done.environment["CONDA_PREFIX"] == done.environment["OF_ACTIVATION"] == str(prefix)
    assert done.environment["PATH"].split(":")[0] == f"{prefix}/bin"


def test_micromamba_knows_names(lab: ScriptLab, prefix: Path) -> None:
    """A stand-in: its hook defines a function, which activates, as that of the real one does."""
    activate = f'[[ $* == "activate mine" ]] || {{ echo "no $2" >&2; return 1; }}; PATH={prefix}/bin:$PATH'
    lab.program(
        "micromamba", f"[[ $* == 'shell hook --shell bash' ]] && cat <<'END'\nmicromamba() {{ {activate}; }}\nEND"
    )
    assert lab.run(plan_of(lab, None, nodes=1, conda="mine")).returncode == 0
    shutil.rmtree(lab.run_dir / "elements")
    (lab.bin / "srun.argv").unlink()
    lab.record.with_name("record.argv").unlink()
    assert_refused(
        lab, plan_of(lab, None, conda="other"), "environment.conda: micromamba activate other failed: no other"
    )


def test_without_any_conda_a_name_is_nothing(lab: ScriptLab) -> None:
    step = assert_refused(lab, plan_of(lab, None, conda="mine"), "neither conda nor micromamba was found")
    assert "give the prefix of the environment as a path" in step


# -- uv, the real one


@pytest.fixture
def project(lab: ScriptLab, tmp_path: Path) -> Path:
    """A project without dependencies, locked and synchronised; its uv is on the PATH of the job."""
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n')
    real = Path(sys.executable).with_name("uv")
    lab.program("uv", f'export HOME="{tmp_path}" UV_PYTHON_DOWNLOADS=never; exec "{real}" "$@"')
    environment = {**os.environ, "HOME": str(tmp_path), "UV_PYTHON": sys.executable, "UV_OFFLINE": "1"}
    environment.pop("VIRTUAL_ENV", None)
    for command in ("lock", "sync"):
        subprocess.run([real, command, "--quiet"], cwd=folder, env=environment, check=True)
    return folder


def test_a_project_of_uv_gives_its_interpreter(lab: ScriptLab, project: Path) -> None:
    shutil.copy(lab.python, project / ".venv/bin/recorder")
    plan = plan_of(lab, str(project / ".venv/bin/recorder"), uv=str(project))
    done = lab.run(plan)
    assert done.returncode == 0, done.stderr
    assert done.argv[0] == "-m"


def test_a_project_whose_lock_is_old_is_said_by_uv_s_own_line(lab: ScriptLab, project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text + 'dependencies = ["nothing-of-this-name"]\n')
    plan = plan_of(lab, f"{project}/.venv/bin/python", nodes=1, uv=str(project))
    step = assert_refused(lab, plan, f"environment.uv: uv sync --locked --offline failed in {project}: ")
    assert step == "run uv sync --locked there, where the internet is"


def test_what_a_project_lacks_is_said_before_anything_is_submitted(tmp_path: Path, project: Path) -> None:
    spec = {"name": "x", "pipeline": {"command": "true"}, "environment": {"uv": str(project)}}
    path = tmp_path / "spec.yaml"
    path.write_text(f"name: x\npipeline: {{command: 'true'}}\nenvironment: {{uv: '{project}'}}\n")
    assert make_plan(path, [], Cluster.LOCAL, {"HOME": str(tmp_path)}).python == f"{project}/.venv/bin/python"
    shutil.rmtree(project / ".venv")
    assert "has no environment yet; run `uv sync --locked` there" in problems(tmp_path, spec)
    (project / "uv.lock").unlink()
    assert "has no uv.lock; run `uv lock` there" in problems(tmp_path, spec)
    two = {**spec, "environment": {"uv": str(project), "venv": str(project)}}
    assert "`environment` takes one of python, venv, conda and uv" in problems(tmp_path, two)
