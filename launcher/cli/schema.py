"""`curator-slurm schema`: the JSON schemas of specs, for editors, and of what --json prints, for programs."""

from __future__ import annotations

from typing import Any

import click

from curator_slurm.launcher.cli._terminal import say_exactly

DOCUMENTS = (
    "spec", "site", "status", "status-shard", "status-failed", "status-attempts", "status-events", "status-timeline",
    "list", "doctor", "report", "report-two", "advise",
)  # fmt: skip


def documents() -> dict[str, Any]:
    """What each `--json` prints, by the name of its schema."""
    from curator_slurm.launcher.doctor.report import DoctorReport
    from curator_slurm.launcher.report.advice import AdviceView
    from curator_slurm.launcher.report.compare_runs import Comparison
    from curator_slurm.launcher.report.report_model import RunReport
    from curator_slurm.launcher.status.views import DOCUMENTS

    return {**DOCUMENTS, "doctor": DoctorReport, "report": RunReport, "report-two": Comparison, "advise": AdviceView}


@click.command("schema")
@click.argument("document", metavar="[DOCUMENT]", type=click.Choice(DOCUMENTS), default="spec")
@click.option("--site", is_flag=True, help="The schema of site files, as DOCUMENT site.")
def command(document: str, site: bool) -> None:
    """Print the JSON schema of specs, site files or --json output.

    DOCUMENT is spec (the default), site, status, status-shard (status --shard N), status-failed (status --failed),
    status-attempts, status-events and status-timeline (status --attempts, --events and --timeline), list, doctor,
    report, report-two (of two runs) or advise.

    \b
    With the YAML language server of VS Code, Vim and others, write that of specs to a file:
      curator-slurm schema > curator-slurm.schema.json
    and put this line on top of a spec:
      # yaml-language-server: $schema=./curator-slurm.schema.json
    """
    import json

    if site or document == "site":
        from curator_slurm.launcher.site.model import Site
        from curator_slurm.launcher.spec.json_schema import schema

        found = schema(Site, "curator-slurm site file")
    elif document == "spec":
        from curator_slurm.launcher.spec.json_schema import schema

        found = schema()
    else:
        from curator_slurm.launcher.status.view_schema import schema_of

        found = schema_of(document, documents()[document])
    say_exactly(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
