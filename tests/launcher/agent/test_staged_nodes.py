"""The event about how nodes have got their software."""

from curator_slurm.launcher.agent.staged_nodes import note_staged
from curator_slurm.launcher.files import read_jsonl
from curator_slurm.launcher.runs.attempt_records import EventLog


def test_the_event(tmp_path):
    events = EventLog(tmp_path / "events.jsonl", lambda _: None)
    note_staged(events, {"n1": {}, "n2": {}})
    assert not (tmp_path / "events.jsonl").exists()
    unpacked = {"how": "unpacked", "seconds": 2.5, "saved": 28.0, "files": 20_000, "paths": {"/a": "/b"}}
    shared = {"how": "shared", "why": "/tmp has 3 MiB free"}
    reused = {"how": "reused", "seconds": 0.2, "saved": 30.4, "files": 20_000}
    note_staged(events, {"n1": unpacked, "n2": shared, "n3": reused, "n4": {}})
    (event,) = read_jsonl(tmp_path / "events.jsonl")
    assert event["event"] == "software_staged"
    assert event["message"] == (
        "software on the nodes' own disks, of 3 nodes: unpacked on 1 (at most 2.5 s), found on 1 (at most 0.2 s), used "
        "from shared storage on 1; each was spared up to 30 s of reading files one by one from shared storage; "
        "/tmp has 3 MiB free"
    )
    assert event["nodes"]["n2"] == shared
    assert "paths" not in event["nodes"]["n1"]
