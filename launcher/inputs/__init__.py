"""Input files: which files the paths and lists of a spec name, and how large they are."""

from curator_slurm.launcher.inputs.listing import Listing, input_files, list_inputs

__all__ = ["Listing", "input_files", "list_inputs"]
