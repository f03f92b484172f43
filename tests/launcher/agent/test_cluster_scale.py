"""What depends on the number of nodes."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from curator_slurm.launcher.agent.cluster_scale import LARGE, join_delay_s, joins_before_head, ray_settings
from curator_slurm.launcher.agent.process_limits import FEWEST_FILES, FEWEST_PROCESSES, RECOMMENDED_FILES, shortages


def number(settings: dict[str, str], name: str) -> int:
    return int(settings[f"RAY_{name}"])


@pytest.mark.parametrize("nodes", [1, 2, LARGE])
def test_small_clusters_keep_the_defaults_of_ray(nodes: int) -> None:
    assert ray_settings(nodes, 128, {}) == {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}


@pytest.mark.parametrize("cpus", [2, 64, 256])
def test_larger_clusters_have_never_less(cpus: int) -> None:
    before = ray_settings(LARGE + 1, cpus, {})
    for nodes in (100, 300, 1000, 4000):
        settings = ray_settings(nodes, cpus, {})
        assert all(int(settings[name]) >= int(before[name]) for name in before), nodes
        before = settings


@pytest.mark.parametrize("nodes", [LARGE + 1, 300, 1000, 4000])
def test_the_head_of_a_large_cluster_is_not_flooded(nodes: int) -> None:
    settings = ray_settings(nodes, 8, {})
    assert nodes / number(settings, "health_check_period_ms") * 1000 <= 100
    assert nodes / number(settings, "raylet_report_resources_period_milliseconds") * 1000 <= 2000
    assert number(settings, "gcs_server_rpc_server_thread_num") <= 64


def test_ray_gets_no_less_than_it_takes_by_itself() -> None:
    settings = ray_settings(LARGE + 1, 128, {})
    assert number(settings, "gcs_server_rpc_server_thread_num") >= 128 // 4
    assert number(settings, "worker_register_timeout_seconds") >= 60
    assert number(settings, "gcs_rpc_server_connect_timeout_s") > 5
    assert number(settings, "health_check_period_ms") >= 3000


def test_the_user_has_the_last_word() -> None:
    mine = {"RAY_health_check_period_ms": "1234", "RAY_gcs_rpc_server_reconnect_timeout_s": "7", "OTHER": "x"}
    for nodes in (2, 1000):
        settings = ray_settings(nodes, 8, mine)
        assert settings["RAY_gcs_rpc_server_reconnect_timeout_s"] == "7"
        assert settings.get("RAY_health_check_period_ms", "1234") == "1234"
        assert "OTHER" not in settings


def test_ray_knows_every_setting() -> None:
    folder = Path(ray.__file__).parent / "core" / "src" / "ray"
    known = (folder / "gcs" / "gcs_server").read_bytes()
    assert not [name for name in ray_settings(1000, 8, {}) if name.removeprefix("RAY_").encode() not in known]


def test_nodes_join_one_after_the_other() -> None:
    delays = [join_delay_s(rank, 100) for rank in range(1000)]
    assert delays == sorted(delays)
    assert delays[LARGE] == 0
    assert delays[-1] == pytest.approx((999 - LARGE) / 100)
    in_any_second = max(sum(1 for other in delays if at < other <= at + 1) for at in delays)
    assert in_any_second <= 101
    assert join_delay_s(999, 1e9) < 1e-6
    assert sum(map(joins_before_head, range(1, 1000))) == LARGE


@pytest.mark.parametrize(
    ("files", "processes", "nodes", "words"),
    [
        (None, None, 1000, []),
        (RECOMMENDED_FILES, FEWEST_PROCESSES, 1000, []),
        (FEWEST_FILES, None, 2, []),
        (FEWEST_FILES, None, 1000, ["ulimit -n"]),
        (1024, 100, 2, ["ulimit -n", "ulimit -u"]),
    ],
)
def test_limits_that_are_too_low(files: int | None, processes: int | None, nodes: int, words: list[str]) -> None:
    found = list(shortages(files, processes, nodes))
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_soft_limits_are_raised_for_children_too() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        "import resource, subprocess\n"
        "from curator_slurm.launcher.agent.process_limits import raise_limits\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 5000))\n"
        "print(len([note for note in raise_limits(1000) if 'ulimit -n' in note]))\n"
        "print(subprocess.run(['sh', '-c', 'ulimit -n'], capture_output=True, text=True).stdout.strip())"
    )
    assert hard == resource.RLIM_INFINITY or hard >= 5000
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "5000"]
