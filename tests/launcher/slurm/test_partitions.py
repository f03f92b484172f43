"""What partitions have, and which jobs they could never hold."""

import pytest

from curator_slurm.launcher.slurm.partitions import Request, gpus_of, parse_partitions, shortfalls
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.slurm_time import seconds

SINFO = """\
main*|2|4|6000|infinite|1-infinite|gpu:2
main*|1|8|12000|infinite|1-infinite|(null)
short|2|4+|6000+|2:00:00|1-1|gpu:a100:4(S:0-1),shard:a100:8
"""


@pytest.mark.parametrize(
    ("request_", "keys", "words"),
    [
        (Request(nodes=3), [], ""),
        (Request(nodes=9), ["resources.nodes"], "partition main has 3 nodes, and the job asks for 9"),
        (Request(cpus=8), [], ""),
        (Request(cpus=64), ["resources.cpus_per_node"], "has more than 8 CPUs, and the job asks for 64"),
        (Request(memory_mb=99_999), ["resources.mem_per_node"], "more than 12,000 MB of memory"),
        (Request(gpus=3), ["resources.gpus_per_node"], "more than 2 GPUs, and the job asks for 3"),
        (Request(gpus=1, gpu_type="h100"), ["resources.gpus_per_node"], "more than 0 GPUs of type h100"),
        (Request(nodes=2, cpus=8), ["resources.nodes"], "1 node of partition main has what the job asks for"),
        (Request(cpus=8, gpus=1), ["resources.nodes"], "0 nodes of partition main"),
        (Request(time_s=10**9), [], ""),
        (Request(partitions=("short",), time_s=7201), ["resources.time"], "a time limit of 2:00:00"),
        (Request(partitions=("short",), nodes=2), ["resources.nodes"], "may have 1 node,"),
        (Request(partitions=("short",), gpus=4, gpu_type="a100", cpus=4), [], ""),
        (Request(partitions=("short", "main"), nodes=3), [], ""),
        (Request(partitions=("short", "main"), cpus=64), ["resources.cpus_per_node"] * 2, "partition short"),
        (Request(partitions=("hidden",), nodes=99), [], ""),
    ],
)
def test_what_a_partition_has_too_little_of(request_, keys, words):
    found = shortfalls(request_, parse_partitions(SINFO))
    assert [each.key for each in found] == keys
    assert not words or words in found[0].words


def test_other_output_is_no_answer():
    for text in ("", "welcome to the cluster\n", "PARTITION|NODES|CPUS|MEMORY|TIMELIMIT|JOB_SIZE|GRES\n"):
        with pytest.raises(UnreadableOutputError):
            parse_partitions(text)
    assert len(parse_partitions(f"welcome\n{SINFO}")) == 3


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("5", 300), ("5:30", 330), ("1:00:00", 3600), ("1-00:00:00", 86400), ("2-1", 176400), ("2-1:30", 178200),
        ("infinite", None), ("n/a", None), ("UNLIMITED", None), ("", None),
    ],
)  # fmt: skip
def test_time_limits(limit, expected):
    assert seconds(limit) == expected


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:2080ti:8(S:0-1)", (("2080ti", 8),)),
        ("gpu:3090:2", (("3090", 2),)),
        ("gpu:1080ti:4,gpu:a100:2(S:1),shard:a100:16", (("1080ti", 4), ("a100", 2))),
        ("gpu:a100:no_consume:4", (("a100", 4),)),
        ("gpu:no_consume:4", (("", 4),)),
        ("gpu:4(S:0,1)", (("", 4),)),
        ("mygpu:2,gpu:a100:0", ()),
        ("gres/gpu:h100:4", (("h100", 4),)),
    ],
)
def test_gpus_of_generic_resources(gres: str, gpus: tuple[tuple[str, int], ...]) -> None:
    """2080 GPUs without a type were seen in gpu:2080ti:8, and jobs that asked for 2080ti:4 refused."""
    assert gpus_of(gres) == gpus


def test_a_job_that_asks_for_a_type_of_digits_can_start() -> None:
    groups = parse_partitions("old*|4|32|190000|infinite|1-infinite|gpu:2080ti:8(S:0-1)\n")
    assert shortfalls(Request(gpus=4, gpu_type="2080ti"), groups) == []
    (short,) = shortfalls(Request(gpus=9, gpu_type="2080ti"), groups)
    assert "no node of partition old has more than 8 GPUs of type 2080ti" in short.words
