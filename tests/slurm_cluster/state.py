"""What a running cluster remembers of itself between commands."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slurm_cluster.layout import Layout
from slurm_cluster.options import Options
from slurm_cluster.processes import Handle


@dataclass(kw_only=True)
class State:
    """Options, addresses and processes; `owner` is the test session that started it, if one did."""

    options: Options
    network: str
    addresses: dict[str, str]
    users: dict[str, int]
    owner: Handle | None = None
    switch: Handle | None = None
    inits: dict[str, Handle] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether anything of it is alive."""
        return any(h.alive for h in self.processes())

    @property
    def in_use(self) -> bool:
        """Whether someone may still want it: a cluster of a dead test session is nobody's."""
        return self.running and (self.owner is None or self.owner.alive)

    def processes(self) -> list[Handle]:
        """Nodes first: without the switch they would notice that their network is gone."""
        return [*self.inits.values(), *([self.switch] if self.switch else [])]

    def save(self, layout: Layout) -> None:
        """Replace the state file in one step."""
        new = layout.state.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.rename(layout.state)


def load(layout: Layout) -> State | None:
    """Read the state file; None when there is none, which means that the cluster is down."""
    try:
        text = layout.state.read_text()
    except FileNotFoundError:
        return None
    data: dict[str, Any] = json.loads(text)
    options = Options(**data.pop("options"))
    options = replace(options, conf=tuple(options.conf), expose=tuple(options.expose))
    owner, switch, inits = (data.pop(key) for key in ("owner", "switch", "inits"))
    return State(
        **data,
        options=options,
        owner=Handle(**owner) if owner else None,
        switch=Handle(**switch) if switch else None,
        inits={name: Handle(**handle) for name, handle in inits.items()},
    )


def tail(path: Path, lines: int = 15) -> str:
    """Return the end of a log for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
