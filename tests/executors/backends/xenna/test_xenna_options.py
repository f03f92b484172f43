"""Configuration keys against the installed cosmos-xenna."""

from __future__ import annotations

import enum
from typing import Any

import attrs
import pytest
from cosmos_xenna.pipelines import v1
from cosmos_xenna.utils.verbosity import VerbosityLevel
from xenna_stages import Step

from curator_slurm.executors import known_options
from curator_slurm.executors.backends.xenna import options
from curator_slurm.executors.backends.xenna.options import XennaOptionError, parse_config, parse_stage


class FakeStage:
    name = "fake"

    def __init__(self, spec: dict[str, Any] | None = None, workers: int | None = None) -> None:
        self._spec = spec or {}
        self._workers = workers

    def xenna_stage_spec(self) -> dict[str, Any]:
        return self._spec

    def num_workers(self) -> int | None:
        return self._workers


def test_defaults_are_nemo_curators() -> None:
    config = parse_config({}).pipeline_config()
    assert config.execution_mode is v1.ExecutionMode.STREAMING
    assert config.logging_interval_s == 60
    assert config.mode_specific.autoscale_interval_s == 180
    assert not config.return_last_stage_outputs  # they are taken as they come
    assert not config.ignore_failures
    assert parse_config({}).cpu_share == 0.95


def test_named_keys_reach_the_engine() -> None:
    config = parse_config(
        {"execution_mode": "streaming", "logging_interval": 5, "autoscale_interval_s": 7, "slots_per_actor": 3}
    ).pipeline_config()
    assert (config.logging_interval_s, config.mode_specific.autoscale_interval_s) == (5, 7)
    assert config.slots_per_actor == 3


def test_where_we_decide_when_the_engine_plans_it_asks_often_and_spares_no_young_worker() -> None:
    options = parse_config({"autoscale_interval_s": 60})
    streaming = options.pipeline_config(ask_s=1.0).mode_specific
    assert options.plans
    assert (options.autoscale_interval_s, streaming.autoscale_interval_s) == (60, 1.0)
    assert getattr(streaming, "scale_down_grace_after_ready_s", 0.0) == 0.0
    assert not parse_config({"execution_mode": "batch"}).plans


def test_a_scheduler_with_a_clock_of_its_own_keeps_it() -> None:
    if "scheduler" not in {field.name for field in attrs.fields(v1.StreamingSpecificSpec)}:
        pytest.skip("cosmos-xenna has one scheduler")
    assert not parse_config({"scheduler": "SATURATION_AWARE"}).plans
    assert parse_config({"scheduler": "FRAGMENTATION_BASED"}).plans


def test_batch_mode_has_no_streaming_options() -> None:
    config = parse_config({"execution_mode": "batch"}).pipeline_config()
    assert config.execution_mode is v1.ExecutionMode.BATCH
    assert config.mode_specific is None


_OURS = {"execution_mode", "ignore_failures", "cpu_allocation_percentage"}
"""Fields of the engine that the executor acts on itself; other tests are about them."""


def another_value(field: Any) -> tuple[Any, Any]:
    """A value that is not the field's default: as it is written in YAML, and as the engine is to get it."""
    if isinstance(field.default, enum.Enum):
        member = next(member for member in reversed(type(field.default)) if member is not field.default)
        return member.name, member
    if field.name == "saturation_aware":
        from cosmos_xenna.pipelines.private.specs import SaturationAwareConfig

        return {}, SaturationAwareConfig()
    if isinstance(field.default, bool):
        return not field.default, not field.default
    value = 1 if field.default is None else field.default + 1
    return value, value


@pytest.mark.parametrize("cls", [v1.PipelineConfig, v1.StreamingSpecificSpec])
def test_every_option_of_the_engine_reaches_it_or_is_refused_with_a_reason(cls: type) -> None:
    for field in attrs.fields(cls):
        if field.name in known_options.REFUSED:
            with pytest.raises(XennaOptionError, match="cannot be set"):
                parse_config({field.name: field.default})
        elif field.name not in _OURS:
            written, wanted = another_value(field)
            config = parse_config({field.name: written}).pipeline_config()
            holder = config if cls is v1.PipelineConfig else config.mode_specific
            assert getattr(holder, field.name) == wanted, field.name


def test_every_option_of_a_stage_reaches_it_or_is_refused_with_a_reason() -> None:
    for field in attrs.fields(v1.StageSpec):
        if field.name in known_options.REFUSED_OF_STAGES:
            with pytest.raises(XennaOptionError, match="cannot be set"):
                parse_stage(FakeStage({field.name: 1}))
        elif field.name not in ("num_workers_per_node", "ignore_failures"):
            written, wanted = another_value(field)
            assert parse_stage(FakeStage({field.name: written})).overrides == {field.name: wanted}


def test_an_error_in_a_nested_option_is_named() -> None:
    if "saturation_aware" not in {field.name for field in attrs.fields(v1.StreamingSpecificSpec)}:
        pytest.skip("this version has no nested option")
    with pytest.raises(XennaOptionError, match=r"no_such_option.*saturation_aware"):
        parse_config({"saturation_aware": {"no_such_option": 1}})


def test_ignore_failures_never_reaches_the_engine() -> None:
    assert not parse_config({"ignore_failures": True}).pipeline_config().ignore_failures
    setting = parse_stage(FakeStage({"ignore_failures": True}))
    assert setting.ignore_failures
    assert "ignore_failures" not in setting.overrides


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"autoscale_interval": 1}, "did you mean `autoscale_interval_s`"),
        ({"execution_mode": "serving"}, "streaming, batch"),
        ({"logging_interval": 0}, "greater than 0"),
        ({"logging_interval": 1, "logging_interval_s": 1}, "not both"),
        ({"cpu_allocation_percentage": 95}, "0.95 is 95 %"),
        ({"max_workers_per_stage": 0}, "whole number from 1"),
        ({"monitoring_verbosity_level": "LOUD"}, "NONE, INFO, DEBUG"),
    ],
)
def test_errors_say_what_to_do(config: dict[str, Any], words: str) -> None:
    with pytest.raises(XennaOptionError, match=words) as caught:
        parse_config(config)
    assert caught.value.key in config


def test_an_option_of_another_version_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(options.ENGINE_OPTIONS, "option_of_tomorrow", "9.9")
    with pytest.raises(XennaOptionError, match=rf"installed cosmos-xenna {options.xenna_version()}.*9\.9 has it"):
        parse_config({"option_of_tomorrow": 1})


def test_enumerations_are_written_by_name() -> None:
    config = parse_config({"monitoring_verbosity_level": "debug"}).pipeline_config()
    assert config.monitoring_verbosity_level is VerbosityLevel.DEBUG


def test_workers_of_a_stage() -> None:
    assert parse_stage(FakeStage(workers=3)).workers(nodes=4) == 3
    assert parse_stage(FakeStage({"num_workers_per_node": 2})).workers(nodes=4) == 8
    assert parse_stage(FakeStage({"num_workers_per_node": 0.5})).workers(nodes=3) == 2
    assert parse_stage(FakeStage()).workers(nodes=4) is None


def test_the_lower_limit_on_workers_counts() -> None:
    limited = Step("limited").with_(ray_stage_spec={"max_workers": 3})
    assert [parse_stage(limited).limit(most) for most in (None, 2, 5)] == [3, 2, 3]
    assert [parse_stage(FakeStage()).limit(most) for most in (None, 2)] == [None, 2]
    with pytest.raises(XennaOptionError, match="max_workers of stage 'none' must be a whole number from 1, not 0"):
        parse_stage(Step("none").with_(ray_stage_spec={"max_workers": 0}))


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (FakeStage({"num_workers_per_node": 1}, workers=1), "only one of them"),
        (FakeStage({"num_workers": 2}), r"num_workers\(\)"),
        (FakeStage({"slots_per_actr": 2}), "did you mean `slots_per_actor`"),
        (FakeStage(workers=0), "greater than 0"),
    ],
)
def test_errors_of_a_stage_name_it(stage: FakeStage, words: str) -> None:
    with pytest.raises(XennaOptionError, match=words) as caught:
        parse_stage(stage)
    assert "fake" in str(caught.value)


def test_a_stage_without_these_methods_is_fine() -> None:
    assert parse_stage(object()).overrides == {}
