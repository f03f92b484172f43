"""Where a stage asks for a folder that was staged."""

import json

import pytest

import curator_slurm
from curator_slurm.common.staged_paths import STAGED, staged_path

PATHS = {"/shared/models": "/tmp/c/0", "/shared/models/big": "/tmp/c/1"}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/shared/models", "/tmp/c/0"),
        ("/shared/models/", "/tmp/c/0"),
        ("/shared/models/a/b", "/tmp/c/0/a/b"),
        ("/shared/models/big/x", "/tmp/c/1/x"),
        ("/shared/models2/a", "/shared/models2/a"),
        ("relative", "relative"),
    ],
)
def test_paths(path, wanted):
    assert staged_path(path, {STAGED: json.dumps({"paths": PATHS})}) == wanted


@pytest.mark.parametrize("value", [None, "", "[]", "{", '{"how": "shared"}', '{"paths": null}'])
def test_nodes_without_copies(value):
    assert staged_path("/shared/models", {} if value is None else {STAGED: value}) == "/shared/models"


def test_it_is_public():
    assert curator_slurm.staged_path is staged_path
