"""`curator-slurm schema`: the JSON schema of specs, for editors."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON schema of specs, for editors.

    \b
    With the YAML language server of VS Code, Vim and others, write it to a file:
      curator-slurm schema > curator-slurm.schema.json
    and put this line on top of a spec:
      # yaml-language-server: $schema=./curator-slurm.schema.json
    """
    import json

    from curator_slurm.launcher.spec.json_schema import schema

    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))
