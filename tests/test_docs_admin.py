"""What administrators type, from the pages about installing and supporting, and the module files of examples/site.

The installation is a stub that runs these sources: what pip does is no part of it. `module` is the real one of Lmod or
environment-modules, where there is one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from docs_commands import ROOT, shell_blocks
from fake_slurm import FakeSlurm
from sharded_runs import fail, plan, publish, sharded_run

INSTALL = ROOT / "docs" / "sites" / "install.md"
SUPPORT = ROOT / "docs" / "sites" / "support.md"
SITE = ROOT / "examples" / "site"
SPEC = "name: hello\npipeline:\n  command: echo hello\nresources:\n  nodes: 1\n"

PIP = f"""#!/bin/bash
[[ $1 == install && -e ${{@: -1}}/pyproject.toml ]] || exit 2
printf '#!/bin/bash\\nexec {shlex.quote(sys.executable)} -P -m curator_slurm "$@"\\n' >"${{0%/*}}/curator-slurm"
chmod 755 "${{0%/*}}/curator-slurm"
"""
VENV = """#!/bin/bash
[[ "$1 $2" == "-m venv" ]] || exit 2
mkdir -p "$3/bin" && cp "${0%/*}/pip" "$3/bin/pip"
"""


def _program(*names: str, variable: str) -> Path | None:
    """The program behind `module`: where its own variable says, or in its usual places."""
    found = [Path(name) for name in (os.environ.get(variable, ""), *names) if name]
    return next((path for path in found if path.is_file()), None)


LMOD = _program("/usr/share/lmod/lmod/libexec/lmod", "/opt/apps/lmod/lmod/libexec/lmod", variable="LMOD_CMD")
TCL = _program(
    "/usr/lib/x86_64-linux-gnu/modulecmd.tcl", "/usr/share/Modules/libexec/modulecmd.tcl", variable="MODULES_CMD"
)
TOOLS = {
    "Lmod, lua": (LMOD, "curator-slurm.lua"),
    "Lmod, tcl": (LMOD, "curator-slurm.tcl"),
    "environment-modules": (TCL, "curator-slurm.tcl"),
}
NO_MODULE = "module() { return 0; }\n"


class Site:
    """A machine of administrators: their pages' paths lie below a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stubs").mkdir()
        for name, text in (("pip", PIP), ("python3", VENV)):
            (folder / "stubs" / name).write_text(text)
            (folder / "stubs" / name).chmod(0o755)
        self.clone = folder / "clone"
        self.clone.mkdir()
        for name in ("examples", "pyproject.toml", "constraints.txt"):
            (self.clone / name).symlink_to(ROOT / name)
        (self.clone / "site.yaml").write_text("site: {name: ours, contact: help@example.org}\n")
        (self.clone / "spec.yaml").write_text(SPEC)

    def here(self, text: str) -> str:
        return re.sub(r"(?<![\w.])(?=/(?:opt|scratch)/)", str(self.folder), text)

    def type(self, text: str, *, module: str = NO_MODULE, check: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PATH": f"{self.folder / 'stubs'}:{os.environ['PATH']}", "HOME": str(self.folder)}
        for name in [name for name in environ if name.startswith(("LMOD_", "MODULE", "_LM", "LOADEDMODULES"))]:
            del environ[name]
        script = ["bash", "--norc", "-ec", module + self.here(text)]
        done = subprocess.run(script, cwd=self.clone, env=environ, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done

    def module(self, tool: Path, file: str) -> str:
        """The shell function, and a base of the module files in this folder."""
        folder = self.folder / "opt" / "modulefiles" / "curator-slurm"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        text = (SITE / file).read_text(encoding="utf-8").replace("/opt/", f"{self.folder}/opt/")
        for version in ("0.1.0", "0.2.0"):
            (folder / f"{version}{'.lua' if file.endswith('.lua') else ''}").write_text(text)
        command = f"tclsh {tool}" if tool.suffix == ".tcl" else str(tool)
        return f'module() {{ eval "$({command} bash "$@")"; }}\n'


@pytest.fixture
def site(tmp_path: Path, fake_slurm: FakeSlurm) -> Site:
    """The first two blocks of the page are typed: a version is installed, with both module files."""
    found = Site(tmp_path)
    for block in shell_blocks(INSTALL)[:2]:
        found.type(block)
    return found


@pytest.mark.long
def test_a_version_is_installed_used_replaced_and_removed(site: Site) -> None:
    """Without a module command: PATH and the variable are set as the module file does."""
    _, _, put, use, upgrade, remove = shell_blocks(INSTALL)
    site.type(put)
    loaded = "export PATH=/opt/curator-slurm/{0}/command:$PATH CURATOR_SLURM_SITE=/opt/curator-slurm/{0}/site.yaml\n"
    shown = site.type(loaded.format("0.1.0") + use).stdout
    assert site.here("/opt/curator-slurm/0.1.0/site.yaml:1") in shown
    assert "spec.yaml is valid: hello on Slurm" in shown
    site.type(shell_blocks(INSTALL)[0].replace("0.1.0", "0.2.0"))
    copy, _, checks = upgrade.partition("module unload curator-slurm\nmodule load curator-slurm/0.2.0\n")
    assert site.here("/opt/curator-slurm/0.2.0/site.yaml") in site.type(copy + loaded.format("0.2.0") + checks).stdout
    site.type(remove)
    below = site.folder / "opt"
    left = {str(path.relative_to(below)) for path in [*below.glob("*/0*"), *below.glob("*/*/0*")]}
    assert left == {"curator-slurm/0.2.0", "modulefiles/curator-slurm/0.2.0.lua"}


def test_others_cannot_write_the_installation_and_can_read_it(site: Site) -> None:
    for path in (site.folder / "opt").rglob("*"):
        mode = path.stat().st_mode
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH), path
        assert mode & stat.S_IROTH, path


@pytest.mark.long
@pytest.mark.parametrize("tool", TOOLS)
def test_a_module_puts_the_command_alone_on_path_and_names_the_site_file(site: Site, tool: str) -> None:
    program, file = TOOLS[tool]
    if program is None:
        pytest.skip(f"{tool.partition(',')[0]} is not installed")
    module = site.module(program, file)
    put, use = shell_blocks(INSTALL)[2:4]
    site.type(put)
    probe = "\ncommand -v curator-slurm || true; command -v python3; echo site=$CURATOR_SLURM_SITE\n"
    loaded = site.type(use + probe, module=module)
    *shown, command, python, variable = loaded.stdout.splitlines()
    assert command == site.here("/opt/curator-slurm/0.1.0/command/curator-slurm")
    assert python == f"{site.folder}/stubs/python3"
    assert variable == site.here("site=/opt/curator-slurm/0.1.0/site.yaml")
    assert any("site.yaml:1" in line for line in shown)
    site.type(shell_blocks(INSTALL)[0].replace("0.1.0", "0.2.0"))
    site.module(program, file)
    upgraded = site.type(use + shell_blocks(INSTALL)[4] + probe, module=module).stdout.splitlines()
    assert [line for line in upgraded if line.endswith("command/curator-slurm")] == [command.replace("0.1.0", "0.2.0")]
    assert upgraded[-1] == variable.replace("0.1.0", "0.2.0")
    gone = site.type(f"{use}module unload curator-slurm{probe}", module=module).stdout.splitlines()
    assert gone[-1] == "site="
    assert command not in gone


@pytest.mark.parametrize("tool", TOOLS)
def test_a_module_without_installation_or_site_file(site: Site, tool: str) -> None:
    program, file = TOOLS[tool]
    if program is None:
        pytest.skip(f"{tool.partition(',')[0]} is not installed")
    module = site.module(program, file)
    load = "module use /opt/modulefiles\nmodule load curator-slurm/{} || true\necho site=$CURATOR_SLURM_SITE\n"
    missing = site.type(load.format("0.2.0") + "echo $PATH\n", module=module)
    assert "curator-slurm 0.2.0 is not installed in" in " ".join(missing.stderr.split())
    assert "0.2.0" not in missing.stdout
    assert site.type(load.format("0.1.0"), module=module).stdout == "site=\n"


def test_both_module_files_set_the_same() -> None:
    lua, tcl = (set(re.findall(r"PATH|CURATOR_SLURM_\w+|(?<=\W)command\b|site\.yaml|bin/curator-slurm|/opt/[\w-]+",
                               (SITE / f"curator-slurm.{kind}").read_text(encoding="utf-8")))
                for kind in ("lua", "tcl"))  # fmt: skip
    assert lua == tcl


def test_a_user_opens_a_run_and_keeps_its_secrets(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    site = Site(tmp_path)
    ask, look, open_it = (block for block in shell_blocks(SUPPORT) if "curator-slurm doctor" not in block)
    run = sharded_run(tmp_path, 3, the_plan=plan(tmp_path))
    publish(run, 0)
    fail(run, 1, "4711_1.0", "out_of_memory")
    root = run.paths.root
    run.paths.secrets.mkdir(mode=0o700, exist_ok=True)
    (run.paths.secrets / "environment.json").touch(mode=0o600)
    (tmp_path / "own").touch(mode=0o600)
    (root / "linked").symlink_to(tmp_path / "own")
    placed = [re.sub(r"/scratch/\S+", str(root), block) for block in (look, open_it)]
    command = f'curator-slurm() {{ {shlex.quote(sys.executable)} -P -m curator_slurm "$@" || [[ $? == 7 ]]; }}\n'
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    for block in (ask.replace("RUN", str(root)), placed[0]):
        assert "rror" not in site.type(block, module=command).stderr
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    site.type(placed[1])
    readable = [run.paths.plan, run.paths.record, *root.glob("attempts/**/*.log"), *root.glob("shards/**/*")]
    assert len(readable) > 3
    for path in [root.parent, root, *readable]:
        assert path.stat().st_mode & stat.S_IROTH, path
    kept = (run.paths.secrets, run.paths.secrets / "environment.json", tmp_path / "own")
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o700, 0o600, 0o600]
    assert "incomplete" in site.type(placed[0].splitlines()[0], module=command).stdout
