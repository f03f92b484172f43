"""Rules of a site for jobs, as a job_submit plug-in in Lua has them; with `JobSubmitPlugins=lua` in slurm.conf."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slurm_cluster.layout import Layout

FILE = "job_submit.lua"
_AHEAD_S = 3600
"""slurmctld reads the file again where it is newer than the last reading."""


def script(rules: str) -> str:
    """A plug-in that refuses what `rules`, lines of Lua about `job`, refuse with `no(words)`.

    `has(option)` is whether the batch script has that option.
    """
    return f"""
function slurm_job_submit(job, partitions, uid)
    local function no(words) slurm.log_user(words); error("refused") end
    local function has(option)
        return job.script ~= nil and string.find(job.script, "\\n#SBATCH %-%-" .. option) ~= nil
    end
    local function check()
        {rules}
    end
    if pcall(check) then return slurm.SUCCESS end
    return slurm.ERROR
end

function slurm_job_modify(job, record, partitions, uid)
    return slurm.SUCCESS
end

return slurm.SUCCESS
"""


@contextmanager
def job_rules(layout: Layout, rules: str) -> Iterator[None]:
    """For the time of the block."""
    _write(layout, rules)
    try:
        yield
    finally:
        _write(layout, "")


def _write(layout: Layout, rules: str) -> None:
    """In one step, as slurmctld may read at any time."""
    place = layout.slurm / FILE
    fresh = place.with_suffix(".new")
    fresh.write_text(script(rules))
    ahead = time.time() + _AHEAD_S
    os.utime(fresh, (ahead, ahead))
    fresh.replace(place)
