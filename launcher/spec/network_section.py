"""The section `network`: addresses and ports of the Ray cluster."""

from __future__ import annotations

import ipaddress

from pydantic import Field, model_validator

from curator_slurm.common.in_words import several
from curator_slurm.launcher.spec.port_blocks import fewest_ports
from curator_slurm.launcher.spec.value_types import LineList, Section, Whole, problem


class NetworkSpec(Section):
    """Addresses and ports of the Ray cluster."""

    interface: LineList = Field(
        default=[],
        description="interfaces in order of preference, by name (ib0, hsn*) or by network (10.1.0.0/16, fd00::/8); "
        "default: the default route's",
    )
    port_range: tuple[Whole, Whole] = Field(
        default=(20000, 29999),
        description="first and last port that Ray may use; it takes about 20 on a node, and 2 for each CPU, at least",
    )

    @model_validator(mode="after")
    def _networks(self) -> NetworkSpec:
        for index, pattern in enumerate(self.interface):
            if "/" in pattern and not _is_network(pattern):
                key = f"network.interface.{index}"
                raise problem(f"`{key}` is {pattern}, which is no network such as 10.1.0.0/16 or fd00::/8", key)
        return self

    @model_validator(mode="after")
    def _ordered(self) -> NetworkSpec:
        first, last = self.port_range
        if not 1024 <= first <= last <= 65535:
            raise problem(
                "`network.port_range` must be [first, last] with 1024 <= first <= last <= 65535", "network.port_range"
            )
        self.refuse_few_ports(1)
        return self

    def refuse_few_ports(self, cpus: int, *keys: str) -> None:
        """The range must hold the Ray of a node with so many CPUs; `keys` are where these are from."""
        first, last = self.port_range
        ports, least = last - first + 1, fewest_ports(first, last, cpus)
        if ports < least:
            key = "network.port_range"
            what = several(cpus, "CPU")
            raise problem(
                f"`{key}` has {several(ports, 'port')}, and Ray needs {least} on a node of {what}, and more for each "
                "further run there; the default has 10,000",
                key,
                *keys,
            )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
