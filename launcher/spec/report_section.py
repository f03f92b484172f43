"""The section `report` of a spec: what a report shows of the documents themselves."""

from __future__ import annotations

from pydantic import Field

from curator_slurm.launcher.spec.value_types import LineList, Section, Whole

MOST_SAMPLES = 50
MOST_CHARACTERS = 10_000


class ReportSpec(Section):
    """What a report shows of documents; by default nothing of what is in them."""

    samples: Whole = Field(
        default=0,
        ge=0,
        le=MOST_SAMPLES,
        description="documents that each filter kept, and as many that it dropped, to be kept in the run directory and "
        "shown; 0: none",
    )
    sample_characters: Whole = Field(
        default=400, ge=20, le=MOST_CHARACTERS, description="characters of such a document at most, all fields together"
    )
    sample_fields: LineList = Field(default=[], description="the fields of documents to show; default: all")
    hidden_fields: LineList = Field(default=[], description="fields that are never shown")
