"""Who may import what: the table docs/packages.toml and the layers of the design, in sources and running processes."""

import ast
import collections
import contextlib
import functools
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "launcher", "executors", "slurm_templates")
TABLE = tomllib.loads((ROOT / "docs" / "packages.toml").read_text(encoding="utf-8"))
MAX_LINES = 400
MAX_LINES_OF_A_FUNCTION = 60
MAX_MODULES_ON_THE_GROUND_FLOOR = 12

DRIVER_SIDE = {"launcher.driver"}
"""The child process that builds and runs the pipeline: the only part of launcher that knows the executors."""
SHARED_WITH_EXECUTORS = {
    "launcher.agent.ray_process": {"executors.backends.xenna_env"},
    "launcher.agent.ray_probe": {"executors.ray_internals"},
    "launcher.agent.ray_starter": {"executors.ray_internals", "executors.ray_services"},
    "launcher.spec.spec_file": {"executors.known_options"},
}
"""Ray's processes need some variables of the executors before any driver runs; specs are checked against the names of
their options."""
NODE_SIDE = {"launcher.agent", *DRIVER_SIDE}
RUNS_PROCESSES = {
    "launcher.slurm.client": "the only place that runs Slurm's commands",
    "launcher.slurm.command_process": "where one of them runs to its end",
    "launcher.agent.ray_process": "starts Ray",
    "launcher.agent.driver_process": "starts the driver",
    "launcher.tunnel.tunnel": "runs the step that carries a tunnel",
    "launcher.notify.run_command": "runs the command that tells people of a run",
    "launcher.agent.gpu_health": "asks nvidia-smi or rocm-smi about the GPUs of a node",
    "launcher.staging.archive_format": "compresses with zstd's program",
    "launcher.staging.extract": "unpacks with the programs of a node",
    "launcher.staging.unpack": "tries the interpreter that it has unpacked",
    "launcher.plan.pipeline_check": "makes a pipeline in the Python of the job",
    "launcher.plan.template_overrides": "asks bash about the script that a site's templates make",
}
USES_SUBMITIT = {"launcher.slurm.submitit_adapter", "launcher.api.handle", "launcher.api.watcher"}
"""Its executors submit, and the jobs of the Python API are its jobs."""
READS_ARROW = {"launcher.dataset.merge_parquet", "launcher.runs.inventory", "launcher.report.export"}
"""Loaded only where Parquet files are merged or written, or their rows counted."""
HEAVY = {"ray", "pandas", "pyarrow", "cosmos_xenna", "nemo_curator", "numpy", "torch"}
"""What login nodes never load; submitit is loaded only where something is submitted."""


def sources():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sources()}


@functools.cache
def parse(source):
    """CPython 3.11 miscounts once after a RecursionError that an earlier test has caught (SystemError)."""
    with contextlib.suppress(SystemError):
        return ast.parse(source)
    return ast.parse(source)


def only_for_type_checkers(tree):
    return {
        node
        for branch in tree.body
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }


@functools.cache
def import_statements(path):
    """All of a file, those in functions too: to walk through every file takes its time, and many tests ask."""
    tree = parse(path.read_text(encoding="utf-8"))
    return tree, [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(path, top_level_only=False, for_type_checkers=False):
    """Dotted names that a file imports; ours without `curator_slurm.`."""
    tree, statements = import_statements(path)
    checking = set() if for_type_checkers else only_for_type_checkers(tree)
    for node in tree.body if top_level_only else statements:
        if node in checking:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("curator_slurm.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            base = node.module.removeprefix("curator_slurm.") if node.module != "curator_slurm" else ""
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if full in MODULES else base


def package_of(module):
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def package_arrows():
    """(package, imported package) -> the imports, those for type checkers and those in functions among them."""
    arrows = collections.defaultdict(list)
    for module, path in MODULES.items():
        if module in TABLE["facades"]:
            continue
        for name in imports(path, for_type_checkers=True):
            if name in MODULES and package_of(name) != package_of(module):
                arrows[package_of(module), package_of(name)].append(f"{module} imports {name}")
    return arrows


FLOOR_OF = {package: -number for number, floor in enumerate(TABLE["floors"]) for package in floor}
ALLOWED = {(package, name) for package in FLOOR_OF for name in TABLE[package]["imports"]}


def test_the_table_has_every_package():
    assert set(FLOOR_OF) == {package_of(module) for module in MODULES}


def test_packages_import_only_what_the_table_allows():
    others = {pair: found for pair, found in package_arrows().items() if pair not in ALLOWED}
    assert not others, "docs/packages.toml does not allow these"


def test_the_table_allows_nothing_that_is_not_used():
    assert not ALLOWED - set(package_arrows()), "no import needs these: leave them out of docs/packages.toml"


@pytest.mark.parametrize("package", FLOOR_OF)
def test_imports_lead_to_lower_floors(package):
    assert not [name for name in TABLE[package]["imports"] if FLOOR_OF[name] >= FLOOR_OF[package]]


def test_facades_load_lazily_or_hold_nothing_but_imports():
    for module in TABLE["facades"]:
        heavy = {name for name in imports(MODULES[module], True) if name.split(".")[0] in HEAVY}
        assert not heavy, module


def test_few_modules_lie_directly_in_launcher():
    modules = [path for path in (ROOT / "launcher").glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MAX_MODULES_ON_THE_GROUND_FLOOR


def place(path):
    """Where a name counts as defined: parallel modules of the back ends are one place, as they mean the same."""
    return "a back end" if "backends" in path.relative_to(ROOT).parts[:-2] else path


def names_that_stand_twice(kind):
    """Names of modules, or of public classes at the top level of modules, that stand in several places."""
    found = collections.defaultdict(set)
    for path in MODULES.values():
        if kind == "modules":
            names = [path.stem.lstrip("_")] if path.name != "__init__.py" else []
        else:
            body = parse(path.read_text(encoding="utf-8")).body
            names = [node.name for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for name in names:
            found[name].add(place(path))
    return {name for name, where in found.items() if len(where) > 1}


@pytest.mark.parametrize("kind", ["modules", "classes"])
def test_a_name_stands_twice_only_where_it_means_the_same(kind):
    agreed = set(TABLE["same_meaning"][kind])
    twice = names_that_stand_twice(kind)
    assert not twice - agreed, "two meanings need two names; one meaning needs a reason in docs/packages.toml"
    assert not agreed - twice, "stands once now: leave it out of docs/packages.toml"


def is_login_side(module):
    return module.startswith("launcher") and not any(
        module == part or module.startswith(f"{part}.") for part in NODE_SIDE
    )


def wrong_imports(module):
    """What a module imports against the layers of the design."""
    if module.startswith("launcher") and "grpc" in imports(MODULES[module], top_level_only=True):
        yield f"{module} imports grpc where it is loaded: a fifth of an agent's start, also of one without Ray"
    for name in imports(MODULES[module]):
        package = name.split(".")[0]
        if module.startswith(("executors", "slurm_templates")) and package == "launcher":
            yield f"{module} imports {name}"
        shared = module.startswith("launcher.driver.") or name in SHARED_WITH_EXECUTORS.get(module, ())
        if module.startswith("launcher") and package == "executors" and not shared:
            yield f"{module} imports {name}"
        if is_login_side(module):
            if package in HEAVY and not (module in READS_ARROW and package == "pyarrow"):
                yield f"{module} imports {name}"
            if any(f"{name}.".startswith(f"{part}.") for part in DRIVER_SIDE):
                yield f"{module} imports {name}"
        if package == "subprocess" and module.startswith("launcher") and module not in RUNS_PROCESSES:
            yield f"{module} runs processes"
        if package == "submitit" and is_login_side(module) and module not in USES_SUBMITIT:
            yield f"{module} imports submitit"


def test_layers():
    assert not [wrong for module in MODULES for wrong in wrong_imports(module)]


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("launcher.plan.script", {"subprocess", "os", "time"}),
        ("launcher.spec.placeholders", {"subprocess", "os", "time"}),
        ("launcher.shell", {"subprocess", "os", "time"}),
        ("launcher.spec.sbatch_options", {"subprocess", "os", "time"}),
        ("launcher.spec.locations", {"subprocess", "os", "time"}),
        ("launcher.slurm.parse", {"subprocess", "os"}),
    ],
)
def test_pure_modules_do_nothing_but_compute(module, forbidden):
    assert not {name.split(".")[0] for name in imports(MODULES[module])} & forbidden


def test_no_import_cycles():
    graph = {module: {name for name in imports(path, True) if name in MODULES} for module, path in MODULES.items()}
    done, open_now = set(), []

    def visit(module):
        assert module not in open_now, " -> ".join([*open_now[open_now.index(module) :], module])
        if module in done:
            return
        open_now.append(module)
        for name in sorted(graph[module] - {module}):
            visit(name)
        open_now.pop()
        done.add(module)

    for module in graph:
        visit(module)


def too_long(module):
    """A module that is too long, and its functions that are."""
    text = MODULES[module].read_text(encoding="utf-8")
    if len(text.splitlines()) > MAX_LINES:
        yield module
    for node in ast.walk(parse(text)):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and node.end_lineno - node.lineno >= MAX_LINES_OF_A_FUNCTION:
            yield f"{module}:{node.name}"


def test_no_file_and_no_function_is_too_long():
    assert not [found for module in MODULES for found in too_long(module)]


def loaded_by(tmp_path, *arguments, **options):
    """The modules that a command of curator-slurm loads, and what it prints."""
    code = (
        "import json, sys\n"
        "from curator_slurm.launcher.cli import main\n"
        "code = 0\n"
        f"try: main(sys.argv[1:], **{options!r})\n"
        "except SystemExit as end: code = end.code\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    exit_code, modules = json.loads(done.stderr.splitlines()[-1])
    assert exit_code == 0, done.stderr
    return modules, done.stdout


SLOW = {*HEAVY, "pydantic", "pydantic_core", "yaml", "jinja2", "rich", "submitit", "psutil", "asyncio", "difflib"}
"""Modules without which help and completion are as quick as click."""


def test_help_loads_nothing_slower_than_click(tmp_path):
    modules, _ = loaded_by(tmp_path, "--help")
    assert not {name.split(".")[0] for name in modules} & SLOW
    ours = {name for name in modules if name.startswith("curator_slurm.")}
    assert ours == {
        "curator_slurm.launcher",
        "curator_slurm.launcher._version",
        "curator_slurm.launcher.cli",
        "curator_slurm.launcher.cli._terminal",
        "curator_slurm.launcher.errors",
        "curator_slurm.launcher.visible",
    }


COMPLETED = {"su": ["submit"], "submit --no": ["--nodes", "--notify", "--no-import"], "status de": ["demo"]}
"""What a shell has of a command -> what it is offered, if there is a run called demo."""


@pytest.mark.parametrize("words", ["submit --help", "retry --help", "status --help", "logs --help", *COMPLETED])
def test_help_of_verbs_and_completion_are_as_light(tmp_path, monkeypatch, words):
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs" / "demo" / "20260101-101010-abcd").mkdir(parents=True)
    arguments = words.split()
    if words in COMPLETED:
        monkeypatch.setenv("_CURATOR_SLURM_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", f"curator-slurm {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(arguments)))
        arguments = []
    modules, printed = loaded_by(tmp_path, *arguments, prog_name="curator-slurm")
    if words in COMPLETED:
        assert [line.partition(",")[2] for line in printed.splitlines()] == COMPLETED[words]
    assert not {*modules, *(name.split(".")[0] for name in modules)} & {*SLOW, "importlib.metadata", "hmac"}
    allowed = {
        *("common", "common.plain_files", "launcher", "launcher._version", "launcher.cli", "launcher.errors"),
        *("launcher.failure_classes", "launcher.states", "launcher.visible", "launcher.runs", "launcher.runs.owners"),
        *("launcher.runs.known_folders", "launcher.runs.run_folders"),
    }
    ours = {name.removeprefix("curator_slurm.") for name in modules if name.startswith("curator_slurm.")}
    assert {name for name in ours if not name.startswith("launcher.cli.")} <= allowed
    assert {"_options"} <= {name.rpartition(".")[2] for name in ours} or words == "su"


@pytest.mark.parametrize("verb", ["validate", "plan", "render", "schema", "list"])
def test_login_verbs_load_nothing_heavy(tmp_path, verb):
    (tmp_path / "s.yaml").write_text("name: x\npipeline: {command: a}\n")
    modules, _ = loaded_by(tmp_path, verb, *(["s.yaml"] if verb in ("validate", "plan", "render") else []))
    top = {name.split(".")[0] for name in modules}
    assert not top & {*HEAVY, "submitit"}
    ours = {name for name in modules if name.startswith("curator_slurm.executors")}
    assert ours <= {"curator_slurm.executors", "curator_slurm.executors.known_options"}
    if verb == "validate":
        assert not top & {"jinja2", "rich", "psutil"}
    if verb == "render":  # only what looks at pipelines, lists inputs or copies code needs these
        assert not set(modules) & {f"curator_slurm.launcher.{name}" for name in ("plan.pipeline_check", "inputs.local")}
    if verb == "list":
        assert not top & {"pydantic", "yaml", "jinja2", "statistics", "secrets", "hmac"}
        assert "importlib.metadata" not in modules
