"""Paths of a spec made absolute."""

from pathlib import Path

import pytest

from curator_slurm.launcher.spec.locations import absolute

ENVIRON = {"USER": "ann", "HOME": "/home/ann", "WORK": "/work/a b", "BAD": "a\nb", "EMPTY": ""}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data", "/spec/data"),
        ("./data/*.txt", "/spec/data/*.txt"),
        ("../data", "/spec/../data"),
        ("/data", "/data"),
        ("~", "/home/ann"),
        ("~/x", "/home/ann/x"),
        ("./~", "/spec/~"),
        ("/lustre/${USER}/x", "/lustre/ann/x"),
        ("$WORK/x", "/work/a b/x"),
        ("/a$$b", "/a$b"),
        ("/a$5", "/a$5"),
        ("s3://bucket/$USER", "s3://bucket/$USER"),
        ("~root/x", str(Path("~root").expanduser() / "x")),
    ],
)
def test_paths(path, expected):
    assert absolute(path, Path("/spec"), ENVIRON) == expected


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/x/$NOPE", "uses $NOPE, which is not set"),
        ("/x/${NOPE}", "uses $NOPE, which is not set"),
        ("/x/$EMPTY", "uses $EMPTY, which is not set"),
        ("/x/${run_dir}", "uses $run_dir, which is not set"),
        ("/x/${a.b}", "only environment variables"),
        ("/x/$BAD", "control character"),
        ("~nobody-has-this-name/x", "home directory of an unknown user"),
    ],
)
def test_paths_that_cannot_be(path, part):
    with pytest.raises(ValueError) as caught:
        absolute(path, Path("/spec"), ENVIRON)
    assert part in str(caught.value)
