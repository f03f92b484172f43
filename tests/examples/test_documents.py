"""The documents of the example for de-duplication: they are there, and the same ones each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from examples.facts import module

documents = module("deduplication", "documents")
PAGE = r""".\" A comment
.TH LS 1 "a date"
.SH "NAME"
ls \- list \fIfiles\fP
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore names that begin with \e.
"""

SOURCE = '''"""One
line."""
class A:
    """Two
    lines."""
    def f(self):
        """F."""
'''


def test_files_are_real_and_the_same_each_time() -> None:
    found = documents.files(["numpy"], 40, debian=False)
    assert found == documents.files(["numpy"], 40, debian=False)
    assert len(set(found)) == len(found) > 100
    names = [Path(path).name for path in found]
    assert any(name.startswith("LICENSE") for name in names)
    assert "METADATA" in names
    assert not any("/tests/" in path.partition("site-packages")[2] for path in found)


def test_debian_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DEBIAN", tmp_path)
    before = documents.files([], 10, debian=True)
    assert before == documents.files([], 10, debian=False)
    for name in ("man/man1/ls.1.gz", "doc/a/copyright", "doc/a/changelog.Debian.gz", "doc/b/README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "doc" / "c").symlink_to("a")
    (tmp_path / "man" / "man1" / "dir.1.gz").symlink_to("ls.1.gz")
    more = [path for path in documents.files([], 10, debian=True) if path not in before]
    assert [Path(path).name for path in more] == ["dir.1.gz", "copyright", "changelog.Debian.gz", "README"]
    kinds = [documents.split({"path": path, "text": "text"})[0]["kind"] for path in more]
    assert kinds == ["manual", "licence", "news", "news"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ({"path": "/x/a.py", "text": SOURCE},
         [("docstring", "/x/a.py:1", "One\nline."), ("docstring", "/x/a.py:3", "Two\nlines.")]),
        ({"path": "/x/a.py", "text": "def f(:"}, []),
        ({"path": "/x/y.dist-info/METADATA", "text": "t"}, [("description", "/x/y.dist-info/METADATA", "t")]),
        ({"path": "/x/y.dist-info/LICENSE", "text": "t"}, [("licence", "/x/y.dist-info/LICENSE", "t")]),
        ({"path": "/usr/share/man/man1/ls.1.gz", "text": PAGE}, [("manual", "/usr/share/man/man1/ls.1.gz",
          "NAME\nls - list files\n\n-a, --all\ndo not ignore names that begin with \\.")]),
    ],
)  # fmt: skip
def test_documents_of_a_file(file: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    found = documents.split(file)
    assert [(document["kind"], document["path"], document["text"]) for document in found] == expected
