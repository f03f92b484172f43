"""Addresses and paths, told apart."""

from __future__ import annotations

import pytest

from curator_slurm.common.addresses import is_address, is_remote, without_scheme


@pytest.mark.parametrize(
    ("path", "address", "remote"),
    [
        ("s3://bucket/key", True, True),
        ("memory://a", True, True),
        ("zip::s3://bucket/a.zip", True, True),
        ("abfs+https://x", True, True),
        ("file:///data/a", True, False),
        ("/data/a", False, False),
        ("data", False, False),
        ("/odd/name://a", False, False),
        ("odd name://a", False, False),
        ("3://a", False, False),
        ("", False, False),
    ],
)
def test_addresses(path: str, address: bool, remote: bool) -> None:
    assert (is_address(path), is_remote(path)) == (address, remote)


def test_a_local_address_is_a_path() -> None:
    assert without_scheme("file:///data/a") == without_scheme("/data/a") == "/data/a"
    assert without_scheme("s3://b/file://") == "s3://b/file://"
