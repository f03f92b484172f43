"""Ray's range of ports beside the one that Linux gives ports from."""

import pytest

from curator_slurm.launcher.agent.ephemeral_ports import choose_range, ephemeral_range, note

DEFAULT = (20000, 29999)


@pytest.mark.parametrize(
    ("ephemeral", "used", "words"),
    [
        ((32768, 60999), DEFAULT, None),
        (None, DEFAULT, None),
        ((20000, 65535), (10000, 19999), "the default 20000-29999 overlaps 20000-65535"),
        ((15000, 65000), (5000, 14999), "Ray's ports are from 5000-14999"),
        ((5000, 65000), (1024, 4999), "Ray's ports are from 1024-4999"),
        ((1024, 30000), (30001, 40000), "Ray's ports are from 30001-40000"),
        ((1024, 65535), DEFAULT, "overlaps 1024-65535"),
    ],
)
def test_the_default_moves_out_of_linux_own_range(ephemeral, used, words):
    chosen = choose_range(DEFAULT, ephemeral, is_default=True)
    said = note(chosen, DEFAULT, ephemeral)
    assert chosen == used
    assert (words is None and said is None) or words in said


def test_a_range_that_was_asked_for_stays_and_is_warned_of():
    chosen = choose_range(DEFAULT, (10000, 65535), is_default=False)
    assert chosen == DEFAULT
    assert "Set network.port_range outside of it" in note(chosen, DEFAULT, (10000, 65535))


@pytest.mark.parametrize(("text", "found"), [("32768\t60999\n", (32768, 60999)), ("", None), ("a b", None)])
def test_the_kernels_text(text, found):
    assert ephemeral_range(text) == found
