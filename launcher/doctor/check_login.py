"""Checks of the machine on which `doctor` is typed. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from curator_slurm.common.in_words import several
from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.doctor.check_nodes import free_space, semantics
from curator_slurm.launcher.doctor.machine_facts import LoginFacts
from curator_slurm.launcher.doctor.report import Check, check, failed, ok, skipped, warning


def check_login(facts: LoginFacts) -> Iterator[Check]:
    """All of them, as far as there are facts."""
    if facts.slurm_problem:
        judged = failed if facts.slurm_needed else warning
        yield check("slurm", judged(facts.slurm_problem, facts.slurm_step))
    else:
        yield check("slurm", ok(f"Slurm {facts.slurm_version} answers"))
    yield from _site(facts)
    yield from _spec(facts)
    yield from _staging(facts)
    folder = facts.runs
    if folder is None:
        yield check("runs-folder", skipped("its place is not known, because a file above is wrong"))
    elif folder.problem:
        step = f"{folder.step}; or name another folder with storage.runs or $CURATOR_SLURM_RUNS"
        yield check("runs-folder", failed(f"{folder.path} cannot be used: {folder.problem}", step))
    else:
        yield check("runs-folder", ok(f"{folder.path} can be written"))
        yield from (check("storage-semantics", verdict) for verdict in semantics(folder))
        yield from (check("free-space", verdict) for verdict in free_space(folder))


def _staging(facts: LoginFacts) -> Iterator[Check]:
    staging = facts.staging
    if staging is None:
        return
    if staging.problem:
        step = "every job would look at all files; put the environment where this machine sees it, or name it by path"
        yield check("staging", warning(staging.problem, step))
        return
    packed = "is packed" if staging.is_packed else "is packed by the first job"
    amount = f"{several(staging.files, 'file')}, {format_size(staging.room)}"
    yield check("staging", ok(f"what goes to the nodes' own disks, {amount}, {packed}"))
    if staging.outside:
        where, step = ", ".join(staging.outside[:5]), "add them to environment.stage_paths, if they are imported much"
        yield check("staging", warning(f"{where} lie outside of what is staged, and are used where they are", step))


def _site(facts: LoginFacts) -> Iterator[Check]:
    for problem in facts.site_problems:
        yield check("site", failed(problem, "correct it, or tell whom the file names; see curator-slurm site check"))
    if not facts.site_problems:
        files = ", ".join(facts.site_files)
        yield check("site", ok(f"loaded: {files}") if files else skipped("there is no site file"))


def _spec(facts: LoginFacts) -> Iterator[Check]:
    for problem in facts.spec_problems:
        yield check("spec", failed(problem, "correct the spec; curator-slurm validate shows all of its errors"))
    for note in facts.spec_warnings:
        yield check("spec", warning(note, "see curator-slurm validate"))
    if not facts.spec_problems and not facts.spec_warnings:
        yield check("spec", ok(f"{facts.spec} is valid") if facts.spec else skipped("none was given (--spec)"))
