"""Pipelines of NeMo Curator in YAML files: settings at the top, and `stages` or one `workflow` with `_target_`."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.failure_classes import FailureClass

_HYDRA_ONLY = ("defaults", "hydra", "documentation", "ray_client", "backend", "execution_mode")
"""Keys that the spec replaces: logging, the Ray cluster, the executor."""


def load_nemo_yaml(path: str, name: str, settings: Mapping[str, Any]) -> Any:
    """The pipeline (or workflow) of a file, with some of its settings changed.

    Raises:
        PipelineLoadError: it cannot be read, has no such setting, or lacks a required value; the message names the key.
    """
    from nemo_curator.config.run import create_pipeline_from_yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    def wrong(what: str, next_step: str, cause: BaseException | None = None) -> PipelineLoadError:
        details = traceback.format_exc() if cause is not None else ""
        return PipelineLoadError(f"pipeline.file: {path} {what}", FailureClass.APP_FAILED, next_step, details)

    try:
        config = OmegaConf.load(path)
    except Exception as error:
        raise wrong(f"cannot be read: {error}", "give the YAML file of a pipeline", error) from error
    if not OmegaConf.is_dict(config) or not ("stages" in config or "workflow" in config):
        raise wrong("has neither stages nor workflow", "give the YAML file of a pipeline")
    for key in _HYDRA_ONLY:
        config.pop(key, None)
    own = [key for key in config if key not in ("stages", "workflow")]
    unknown = [key for key in settings if key not in own]
    if unknown:
        raise wrong(f"has no top-level setting {unknown[0]!r}; it has {', '.join(own) or 'none'}", "see pipeline.args")
    for key, value in settings.items():
        config[key] = value
    missing = [key for key in own if OmegaConf.is_missing(config, key)]
    if missing:
        raise wrong(f"needs a value for {', '.join(missing)}", f"give pipeline.args: {{{missing[0]}: ...}}")
    for part in (*config.get("stages", ()), *config.get("workflow", ())):
        if OmegaConf.is_dict(part) and "_convert_" not in part:
            part["_convert_"] = "all"  # stages expect plain lists, not OmegaConf's
    try:
        pipeline = create_pipeline_from_yaml(config, log_config=False)
    except OmegaConfBaseException as error:
        raise wrong(f"has an error: {error}", "fix it", error) from error
    except Exception as error:
        raise wrong(f"cannot be built: {error}", "compare its stages with their classes", error) from error
    if hasattr(pipeline, "stages") and hasattr(pipeline, "name"):
        pipeline.name = name
    return pipeline
