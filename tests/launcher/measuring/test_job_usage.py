"""What the job uses, from control groups of both versions and from processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from curator_slurm.launcher.measuring.job_usage import (
    JobReader,
    JobUsage,
    gained,
    job_groups,
    read_groups,
    read_processes,
)

V2 = "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n"
V1 = (
    "9:memory:/slurm/uid_1000/job_4711/step_0/task_0\n"
    "4:cpu,cpuacct:/slurm/uid_1000/job_4711/step_0\n"
    "1:name=systemd:/user.slice\n"
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_group_of_the_job_in_version_2(tmp_path: Path) -> None:
    job = tmp_path / "system.slice/slurmstepd.scope/job_4711"
    write(job / "cpu.stat", "usage_usec 7500000\nuser_usec 7000000\n")
    write(job / "memory.current", "5000000\n")
    write(job / "memory.stat", "anon 3000000\ninactive_file 1500000\n")
    assert read_groups(job_groups(V2, tmp_path)) == JobUsage(7.5, 3_500_000)


def test_the_groups_of_the_job_in_version_1(tmp_path: Path) -> None:
    write(tmp_path / "cpuacct/slurm/uid_1000/job_4711/cpuacct.usage", "2500000000\n")
    memory = tmp_path / "memory/slurm/uid_1000/job_4711"
    write(memory / "memory.usage_in_bytes", "900\n")
    write(memory / "memory.stat", "total_inactive_file 1000\ninactive_file 3\n")
    assert read_groups(job_groups(V1, tmp_path)) == JobUsage(2.5, 0)


def test_no_group_of_a_job_and_none_that_is_not_there(tmp_path: Path) -> None:
    assert read_groups(job_groups("0::/user.slice/session-3.scope\n", tmp_path)) == JobUsage()
    assert read_groups(job_groups(V2, tmp_path)) == JobUsage()
    write(tmp_path / "system.slice/slurmstepd.scope/job_4711/cpu.stat", "nonsense\n")
    assert read_groups(job_groups(V2, tmp_path)) == JobUsage()


def process(proc: Path, pid: int, parent: int, *times: int, name: str = "python", anon: int = 0, shm: int = 0) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", str(parent), *["0"] * 9, *(str(each * ticks) for each in times), "0"]
    write(proc / str(pid) / "stat", f"{pid} ({name}) {' '.join(fields)}\n")
    write(proc / str(pid) / "status", f"Name:\t{name}\nRssAnon:\t{anon} kB\nRssFile:\t7 kB\nRssShmem:\t{shm} kB\n")


def test_processes_count_with_all_below_them_and_shared_memory_once(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 1, 0, 0, 0, anon=100)
    process(tmp_path, 11, 10, 2, 1, 4, 0, name="a) (b", anon=50, shm=400)
    process(tmp_path, 12, 11, 3, 0, 0, 0, shm=300)
    process(tmp_path, 99, 1, 1000, 0, 0, 0, anon=10**6)
    found = read_processes(10, tmp_path)
    assert found.seconds == {10: 1, 11: 7, 12: 3}
    assert found.memory == 550 * 1024
    assert read_processes(4, tmp_path).seconds == {}


def test_time_of_ended_processes_counts_once() -> None:
    assert gained({1: 5.0, 2: 3.0}, {1: 9.0}) == 1.0  # 1 has waited for 2, which took a second more
    assert gained({1: 5.0, 2: 3.0}, {1: 6.5}) == 1.5  # nobody has waited for 2
    assert gained({}, {1: 2.0}) == 2.0


def test_this_process_and_its_child() -> None:
    reader = JobReader()
    before = reader.read()
    subprocess.run([sys.executable, "-c", "x = 0\nfor i in range(3_000_000): x += i"], check=True)
    after = reader.read()
    assert before.cpu_s is not None
    assert after.cpu_s is not None
    assert after.cpu_s > before.cpu_s
    assert after.memory
    assert after.memory > 1 << 20
