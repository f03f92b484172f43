"""Lists of input files: what they may look like, and that errors name the line."""

from __future__ import annotations

import csv
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs import filelist
from curator_slurm.launcher.inputs.filelist import read_list
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.listing import list_inputs
from curator_slurm.launcher.spec.data_sections import InputSpec

DIGEST = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def listing(path):
    return list_inputs(InputSpec(manifest=str(path)))


def test_kinds_of_lists(tmp_path):
    for name, size in (("a b.txt", 2), ("b.txt", 3)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "l.txt").write_text(f"\ufeff# a comment\na b.txt\n\n{tmp_path}/./b.txt\r\n")
    (tmp_path / "l.jsonl").write_text('\ufeff{"path": "a b.txt", "size": 2, "more": []}\n\n{"path": "b.txt"}')
    (tmp_path / "l.csv").write_text('\ufeffbytes,path,more\r\n2,"a b.txt",x\r\n\r\n,b.txt,\r\n')
    for kind in ("txt", "jsonl", "csv"):
        found = listing(tmp_path / f"l.{kind}").files
        assert [(file.path, file.bytes) for file in found] == [(f"{tmp_path}/a b.txt", 2), (f"{tmp_path}/b.txt", 3)]


def test_files_whose_size_is_given_are_not_touched(tmp_path):
    (tmp_path / "l.jsonl").write_text(json.dumps({"path": "/nowhere/x", "bytes": 7, "sha256": DIGEST.upper()}))
    assert listing(tmp_path / "l.jsonl").files == [InputFile("/nowhere/x", 7, None, DIGEST.upper())]
    (tmp_path / "l.csv").write_text(f"path,bytes,sha256\ns3://b//x,7,{DIGEST}\n")
    assert listing(tmp_path / "l.csv").files == [InputFile("s3://b//x", 7, None, DIGEST)]


def test_beside_paths(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "l.txt").write_text("a\n")
    found = list_inputs(InputSpec(paths=[f"{tmp_path}/a"], manifest=f"{tmp_path}/l.txt"))
    assert [file.path for file in found.files] == [f"{tmp_path}/a"]
    assert "listed more than once (counted once)" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("l.jsonl", b'{"path": "/a"}\n{broken', "l.jsonl:2: not valid JSON"),
        ("l.jsonl", b'{"path": "/a"}\n{"path": "\xff"}', "l.jsonl:2: not valid JSON"),
        ("l.jsonl", b"[1]", "l.jsonl:1: a line must be an object"),
        ("l.jsonl", b'\n{"file": "a"}', "l.jsonl:2: `path` must be the path of a file; it has file"),
        ("l.jsonl", b'{"path": 3}', "`path` must be the path of a file; found 3"),
        ("l.jsonl", b'{"path": ""}', "not a valid path: ''"),
        ("l.jsonl", b'{"path": "a\\u0000b"}', "not a valid path"),
        ("l.jsonl", b'{"path": "a", "bytes": "many"}', "`bytes` must be an integer, 0 or more; found 'many'"),
        ("l.jsonl", b'{"path": "a", "bytes": -1}', "found -1"),
        ("l.jsonl", b'{"path": "a", "bytes": 1.5}', "found 1.5"),
        ("l.jsonl", b'{"path": "a", "bytes": true}', "found True"),
        (
            "l.jsonl",
            b'{"path": "a", "bytes": ' + b"1" * 4000 + b"}",
            "`bytes` must be an integer, 0 or more; found 111",
        ),
        ("l.jsonl", b'{"path": "a", "more": ' + b"[" * 200_000, "l.jsonl:1: its values are nested too deeply"),
        ("l.csv", b"path,bytes\na," + b"1" * 5000 + b"\n", "l.csv:2: `bytes` must be an integer; found '111"),
        (
            "l.jsonl",
            b'{"path": "a", "bytes": 1, "sha256": "abc"}',
            "`sha256` must be 64 hexadecimal digits; found 'abc'",
        ),
        ("l.csv", b"name\nx\n", "l.csv:1: the first line must name the columns, one of them `path`; found name"),
        ("l.csv", b"", "l.csv:1: the first line must name the columns, one of them `path`; the file is empty"),
        ("l.csv", b'path,bytes\n"a\nb",1\n/x,3,4\n', "l.csv:4: this has 3 columns, and the first line names 2"),
        ("l.csv", b"path,bytes\na,-2\n", "l.csv:2: `bytes` must be an integer; found '-2'"),
        ("l.csv", b'path\n"a\n', "this is not CSV"),
        ("l.csv", b"path\na\n" + b"a," * (1 << 20), "l.csv:3: this line has more than 1,048,576 bytes"),
        ("l.csv", b"path\n" + b'"a\n",' * (1 << 19), "this line has more than 1,048,576 bytes"),
        ("l.txt", b"a" * (2 << 20), "l.txt:1: this line has more than 1,048,576 bytes"),
        ("l.jsonl", b" " * (2 << 20), "l.jsonl:1: this line has more than 1,048,576 bytes"),
        ("l.txt", b"\n# nothing\n", "l.txt lists no files"),
        ("l.txt", b"here\nnot here\n", "l.txt:2: {folder}/not here does not exist"),
        ("l.txt", b"here\n here\n", "l.txt:2: {folder}/ here does not exist (its name begins or ends with a space)"),
        ("l.txt", b"here\nfolder\n", "l.txt:2: {folder}/folder is not a file; put folders into input.paths"),
        ("l.txt", b"a\nb\nc\nd\ne\n", "and 2 more lines"),
        ("l.txt", b"memory://nothing\n", "l.txt:1: memory://nothing does not exist"),
        (
            "l.jsonl",
            b'{"path": "a", "bytes": 1}\n{"path": "./a", "bytes": 2}',
            "l.jsonl:2: {folder}/a is also in line 1",
        ),
        ("l.xml", b"x", "must end in .txt, .jsonl or .csv"),
        ("gone.txt", None, "gone.txt cannot be read: No such file or directory"),
        ("folder", None, "must end in"),
    ],
)
def test_wrong_lists(tmp_path, name, content, part):
    (tmp_path / "here").touch()
    (tmp_path / "folder").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StorageError) as caught:
        listing(tmp_path / name)
    assert part.replace("{folder}", str(tmp_path)) in str(caught.value)


def test_a_list_in_a_store():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/lists/l.txt", b"a.jsonl\nmemory://lists/b.jsonl\n")
    memory.pipe("/lists/a.jsonl", b"123")
    memory.pipe("/lists/b.jsonl", b"")
    try:
        found = list_inputs(InputSpec(manifest="memory://lists/l.txt")).files
        assert [(file.path, file.bytes) for file in found] == [
            ("memory://lists/a.jsonl", 3),
            ("memory://lists/b.jsonl", 0),
        ]
    finally:
        memory.store.clear()


PATHS = st.lists(
    st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1)
    .filter(lambda name: name != ".")  # "/." is the root folder
    .map(lambda name: f"/{name}"),
    unique=True,
    min_size=1,
    max_size=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, st.data())
def test_names_survive_lists(tmp_path, paths, data):
    sizes = data.draw(st.lists(st.integers(0, 2**62), min_size=len(paths), max_size=len(paths)))
    rows = [{"path": path, "bytes": size} for path, size in zip(paths, sizes, strict=True)]
    (tmp_path / "l.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with (tmp_path / "l.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["path", "bytes"])
        writer.writeheader()
        writer.writerows(rows)
    for kind in ("jsonl", "csv"):
        found = [file for _, file in read_list(f"{tmp_path}/l.{kind}")]
        assert [file.bytes for file in found] == sizes
        assert [file.path for file in found] == paths


_ODD = st.sampled_from(
    ['{"path": "b", "bytes": 1}', '{"path": "/c//d", "bytes": 2}', '{"path": "/e/./f", "bytes": 3}', "", " \t",
     '{"path": "/g", "bytes": 4, "sha256": null}', '{"bytes": 5, "path": "/h"}', '{"path":"/i","size":6}\r',
     '{"path": "file:///j//k", "bytes": 7}', '{"path": "/l\\u00e9", "bytes": 8}', '{"path": "/m/", "bytes": 9}',
     ' {"path": "/n", "bytes": 10}', '{"path": "/o"}', '{"path": "/p", "bytes": 12345678901234567890}']
)  # fmt: skip
_PLAIN = st.builds(
    lambda path, size: json.dumps({"path": path, "bytes": size}, ensure_ascii=False),
    st.sampled_from(["/q", "/r/s.t", "s3://b//u", "gs://b/./v", "/w é\u2028 x", "/y'"]),
    st.integers(0, 10**15 - 1),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(_PLAIN, _PLAIN, _ODD), min_size=1, max_size=12), st.booleans(), st.integers(1, 400))
def test_lines_mean_the_same_in_whatever_block_they_are(tmp_path, given_lines, last, size):
    (tmp_path / "all.jsonl").write_text("\n".join(given_lines) + "\n" * last)
    wanted = []
    for number, line in enumerate(given_lines, 1):
        (tmp_path / "one.jsonl").write_text(line)
        wanted += [(number, file) for _, file in read_list(f"{tmp_path}/one.jsonl")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filelist, "_BLOCK_BYTES", size)
        assert list(read_list(f"{tmp_path}/all.jsonl")) == wanted


@given(_PLAIN)
def test_plain_lines_are_known_as_such(line):
    value = json.loads(line)
    assert filelist._plain_files(line.encode()) == [InputFile(value["path"], value["bytes"])]


def test_a_list_of_many_blocks(tmp_path):
    rows = [f'{{"path": "/data/{number:08d}.jsonl", "bytes": {number}}}\n' for number in range(20_000)]
    path = tmp_path / "l.jsonl"
    path.write_text("".join(rows))
    found = listing(path)
    assert found.files == [InputFile(f"/data/{number:08d}.jsonl", number) for number in range(20_000)]
    assert found.list_sha256 == filelist.digest_of(str(path)) != ""
    path.write_text("".join([*rows, rows[5]]))
    assert listing(path).notes == ["1 file listed more than once (counted once): /data/00000005.jsonl"]
    path.write_text("".join([*rows, '{"path": "/data/00000005.jsonl", "bytes": 6}\n']))
    with pytest.raises(StorageError, match=r"l\.jsonl:20001: /data/00000005.jsonl is also in line 6, with a different"):
        listing(path)
    path.write_text("".join([*rows, "{broken\n", *rows]))
    with pytest.raises(StorageError, match=r"l\.jsonl:20001: not valid JSON"):
        listing(path)


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl"])
def test_the_checksum_is_of_lists_that_give_all_sizes(tmp_path, kind):
    (tmp_path / "a").write_text("1")
    content = {"txt": "a\n", "csv": "path,bytes\na,1\n", "jsonl": '{"path": "a", "bytes": 1}\n'}[kind]
    path = tmp_path / f"l.{kind}"
    path.write_text(content)
    assert listing(path).list_sha256 == ("" if kind == "txt" else filelist.digest_of(str(path)))
    assert list_inputs(InputSpec(paths=[f"{tmp_path}/a"], manifest=str(path))).list_sha256 == ""
    before = filelist.digest_of(str(path))
    path.write_text(content.replace("1", "2").replace("a\n", "b\n"))
    assert filelist.digest_of(str(path)) != before


def test_bytes_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff\xfe")
    (tmp_path / name).touch()
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\n")
    (tmp_path / "l.csv").write_bytes(b"path\n\xff\xfe\n")
    (tmp_path / "l.jsonl").write_text(json.dumps({"path": name}))
    for kind in ("txt", "csv", "jsonl"):
        assert [file.path for file in listing(tmp_path / f"l.{kind}").files] == [f"{tmp_path}/{name}"]
