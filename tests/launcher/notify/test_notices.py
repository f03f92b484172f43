"""What people are told, and how: texts, scripts, JSON, POST, and that it is told once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hook_server import Hook
from hostile import MULTI_LINE_VALUES, ONE_LINE_VALUES
from pydantic import ValidationError

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.notify.notice import PREFIX, Notice, body_of, notice_of_end, notice_of_wait, script_of
from curator_slurm.launcher.notify.post import NotDeliveredError, post_json
from curator_slurm.launcher.notify.run_command import run_here
from curator_slurm.launcher.notify.tell import Teller
from curator_slurm.launcher.notify.webhook_address import address_for, address_of
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.secrets import write_secrets
from curator_slurm.launcher.spec.notify_section import FIELDS, NotifyEvent, NotifySpec
from curator_slurm.launcher.states import RunState

NAMES = {"run_id": "20260101-000000-abcd", "name": "demo", "run_dir": "/runs/demo/x", "job_id": "4711"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


def failed(**more: Any) -> Notice:
    return notice_of_end(RunState.FAILED, **{**NAMES, "message": "no room", "next_step": "make some.", **more})


def test_an_end_that_needs_help_is_another_event() -> None:
    assert failed().event is NotifyEvent.NEEDS_HELP
    assert notice_of_end(RunState.INCOMPLETE, **NAMES).event is NotifyEvent.NEEDS_HELP
    assert notice_of_end(RunState.COMPLETED, **NAMES).event is NotifyEvent.ENDED
    assert notice_of_end(RunState.CANCELLED, **NAMES).event is NotifyEvent.ENDED


def test_the_text_says_all_of_it() -> None:
    text = failed(failure_class="storage", shards_done=3, shards_total=12).text
    expected = "demo (20260101-000000-abcd) is failed (storage), 3 of 12 shards are done. no room. make some."
    assert text == expected
    waited = notice_of_wait(RunState.PENDING, 6.501, **NAMES, message="Priority.")
    assert waited.text == "demo (20260101-000000-abcd) has waited in the queue for 6.5 hours. Priority."


def test_every_field_is_in_the_values() -> None:
    assert set(failed().values()) == set(FIELDS)


@pytest.mark.parametrize("value", [*ONE_LINE_VALUES, *MULTI_LINE_VALUES])
def test_no_value_is_parsed_by_bash(tmp_path: Path, value: str) -> None:
    script = tmp_path / "notify.sh"
    script.write_text(script_of(failed(message=value), f'printf %s "${PREFIX}MESSAGE"'))
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == failed(message=value).values()["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["notify.sh"]


def test_a_body_of_ones_own() -> None:
    template = {"text": "Run: ${text}", "blocks": [{"n": "${shards_done}", "raw": "$${text}"}], "fixed": 3}
    notice = failed(message='"}{"', shards_done=2)
    body = json.loads(json.dumps(body_of(notice, template)))
    assert body == {"text": f"Run: {notice.text}", "blocks": [{"n": 2, "raw": "${text}"}], "fixed": 3}
    assert body_of(notice, {})["text"] == notice.text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"webhook": "https://hooks.example.org/T0/s3cret"}, "must not be the address itself"),
        ({"webhook": "/f", "body": {"text": ["${nothing}"]}}, "`${nothing}`"),
        ({"command": "true", "waiting_hours": 0}, "greater than 0"),
        ({"command": "true", "timeout_s": 600}, "less than or equal to 60"),
    ],
)
def test_sections_that_are_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        NotifySpec.model_validate(section)
    assert words in str(error.value)
    assert "s3cret" not in str(error.value).partition("[type=")[0]


def test_which_events_are_wanted() -> None:
    spec = NotifySpec(command="true")
    assert [spec.wants(event) for event in NotifyEvent] == [True, True, False]
    only = NotifySpec(command="true", on=[NotifyEvent.NEEDS_HELP], waiting_hours=1)
    assert [only.wants(event) for event in NotifyEvent] == [False, True, False]
    assert not NotifySpec(waiting_hours=1).wants(NotifyEvent.WAITING)


# The address


def test_the_address_is_among_the_secrets_and_in_no_message(tmp_path: Path) -> None:
    run = RunPaths(tmp_path)
    file = tmp_path / "hook"
    file.write_text("https://hooks.example.org/T0/s3cret\n")
    by_file, by_variable = NotifySpec(webhook=str(file)), NotifySpec(webhook="${env:HOOK}")
    found = address_for(by_file, {}, "spec.yaml")
    assert found == address_for(by_variable, {"HOOK": file.read_text()}, "spec.yaml")
    write_secrets(run, found)
    file.unlink()
    assert address_of(run, by_file, {}) == address_of(run, by_variable, {}) == "https://hooks.example.org/T0/s3cret"
    assert address_of(RunPaths(tmp_path / "other"), by_file, {}) is None
    for text in ("ftp://s3cret", "https://", "https://a b/s3cret", "s3cret", "https://[s3cret"):
        with pytest.raises(SpecError) as error:
            address_for(by_variable, {"HOOK": text}, "spec.yaml")
        assert "HOOK is not one http or https address" in str(error.value)
        assert "s3cret" not in str(error.value)
    with pytest.raises(SpecError, match="HOOK is not set"):
        address_for(by_variable, {}, "spec.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        address_for(by_file, {}, "spec.yaml")


# POST


def test_json_is_posted(hook: Hook) -> None:
    post_json(hook.address, {"text": "grün"}, 5)
    (got,) = hook.got
    assert (got.path, got.type, json.loads(got.body)) == ("/hook", "application/json", {"text": "grün"})


def test_a_proxy_is_respected(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", hook.address.removesuffix("/hook"))
    monkeypatch.setenv("no_proxy", "")
    post_json("http://hooks.invalid/x", {"a": 1}, 5)
    assert [got.path for got in hook.got] == ["http://hooks.invalid/x"]


def test_what_is_not_taken(hook: Hook) -> None:
    hook.status = 404
    with pytest.raises(NotDeliveredError, match="HTTP 404") as refused:
        post_json(hook.address, {}, 5)
    assert not refused.value.may_have_been
    hook.status = 302
    with pytest.raises(NotDeliveredError, match="HTTP 302"):
        post_json(hook.address, {}, 5)
    assert [got.path for got in hook.got] == ["/hook", "/hook"], "a redirect was followed"
    hook.hangs = True
    with pytest.raises(NotDeliveredError, match="no answer within") as late:
        post_json(hook.address, {}, 0.3)
    assert late.value.may_have_been
    hook.close()
    with pytest.raises(NotDeliveredError, match="refused") as away:
        post_json(hook.address, {}, 5)
    assert not away.value.may_have_been
    assert "127.0.0.1" not in str(away.value)


# Once


def teller(folder: Path, said: list[str], **section: Any) -> Teller:
    run = RunPaths(folder)
    return Teller(run, NotifySpec(**section), {}, "test", said.append, run_here(folder))


def test_an_event_is_told_once_whoever_tells_it(tmp_path: Path, hook: Hook) -> None:
    write_secrets(RunPaths(tmp_path), address_for(NotifySpec(webhook="${env:H}"), {"H": hook.address}, ""))
    said: list[str] = []
    section = {"webhook": "${env:H}", "command": f"cat >>{tmp_path}/told", "waiting_hours": 1}
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: teller(tmp_path, said, **section).tell(failed(), 0), range(8)))
    assert told.count(True) in (1, 2), "webhook and command may have been told by two"
    assert len(hook.got) == 1
    assert json.loads((tmp_path / "told").read_text())["event"] == "needs_help"
    one = teller(tmp_path, said, **section)
    assert not one.tell(notice_of_end(RunState.COMPLETED, **NAMES), 0)
    assert one.tell(notice_of_wait(RunState.PENDING, 2, **NAMES), 0)
    assert one.tell(failed(), 1), "a retry is another end"
    assert said == []
    assert len(hook.got) == 3
    notes = {path.name for path in (tmp_path / "notices").iterdir()}
    ways = ("command", "webhook")
    assert notes == {f"{event}.{way}" for event in ("end.0000", "end.0001", "waiting.0000") for way in ways}


def test_what_was_certainly_not_taken_may_be_told_by_the_next(tmp_path: Path, hook: Hook) -> None:
    write_secrets(RunPaths(tmp_path), address_for(NotifySpec(webhook="${env:H}"), {"H": hook.address}, ""))
    said: list[str] = []
    hook.status = 503
    assert not teller(tmp_path, said, webhook="${env:H}").tell(failed(), 0)
    hook.status = 200
    assert teller(tmp_path, said, webhook="${env:H}").tell(failed(), 0)
    assert said == [
        "notify.webhook: run 20260101-000000-abcd could not tell that it is failed: the answer was HTTP 503"
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [("echo no mail here >&2; exit 3", "exit code 3: no mail here"), ("sleep 60 & wait", "it was ended after 0.5")],
)
def test_a_command_that_fails_is_said_once_and_not_run_again(tmp_path: Path, command: str, words: str) -> None:
    said: list[str] = []
    one = teller(tmp_path, said, command=command, timeout_s=0.5)
    assert not one.tell(failed(), 0)
    assert not one.tell(failed(), 0)
    (line,) = said
    assert words in line
    assert not list(tmp_path.glob(".*.sh"))
