from __future__ import annotations

import pickle
from typing import Any

import pytest
from stage_loop import batch, rows

from curator_slurm.executors import stages
from curator_slurm.executors.stages import Modify

NOTICE = "This site uses cookies."
BODY = "A text.\r\nIts second line.\r\n\r\n\r\nIts second paragraph."


@pytest.mark.parametrize(
    ("name", "arguments", "text", "expected"),
    [
        ("BoilerPlateStringModifier", {}, BODY, BODY),
        ("BoilerPlateStringModifier", {}, f"{NOTICE}\n\n{NOTICE}\r\n \n{BODY}", BODY),
        ("BoilerPlateStringModifier", {}, f"{BODY}\n\n\n{NOTICE.upper()}\n", BODY),
        ("BoilerPlateStringModifier", {}, f"a\n\n{NOTICE}\n\nb", f"a\n\n{NOTICE}\n\nb"),
        ("BoilerPlateStringModifier", {}, f"{NOTICE}\n\nb\n\n{NOTICE}", f"{NOTICE}\n\nb\n\n{NOTICE}"),
        ("BoilerPlateStringModifier", {}, NOTICE, NOTICE),
        ("BoilerPlateStringModifier", {}, f"{BODY}\n\nLorem ipsum", ""),
        ("BoilerPlateStringModifier", {"remove_if_at_top_or_bottom": False}, f"a\n\n{NOTICE}\n\nb", ""),
        ("LineRemover", {"patterns": ["x", ""]}, "a\nx\n x\n\nb", "a\n x\nb"),
        ("LineRemover", {"patterns": ["x"]}, "a\r\nx\r\nb\r\n", "a\r\nb\r\n"),
        ("MarkdownRemover", {}, "**a** *b* _c_ [d](e)\n*f\ng*", "a b c e\n*f\ng*"),
        ("NewlineNormalizer", {}, "a\n\n\n\nb\n\nc\r\n\r\n\r\n\r\nd", "a\n\nb\n\nc\r\n\r\nd"),
        ("QuotationRemover", {}, '"a"', "a"),
        ("QuotationRemover", {}, '"a\nb"', "a\nb"),
        ("QuotationRemover", {}, '"a"\n"b"', '"a"\n"b"'),
        ("QuotationRemover", {}, '"a"\r\n"b"', '"a"\r\n"b"'),
        ("QuotationRemover", {}, '""', '""'),
        ("QuotationRemover", {}, 'a"', 'a"'),
        ("Slicer", {}, " abc ", "abc"),
        ("Slicer", {"left": 1, "right": -1, "strip": False}, " abc ", "abc"),
        ("Slicer", {"left": "b", "right": "b", "strip": False}, "abcb d", "bcb"),
        ("Slicer", {"left": "b", "right": "b", "include_left": False, "include_right": False}, "abcb d", "c"),
        ("Slicer", {"left": "x"}, "abc", ""),
        ("Slicer", {"left": None, "right": "x"}, "abc", ""),
        ("UrlRemover", {}, "see HTTPS://a.b/c, or www.d.e now", "see  or  now"),
    ],
)
def test_modified(name: str, arguments: dict[str, Any], text: str, expected: str) -> None:
    modifier = pickle.loads(pickle.dumps(getattr(stages, name)(**arguments)))
    assert modifier.modify_document(text) == expected
    assert rows([Modify(modifier).process(batch({"text": [text, None]}))]) == [{"text": expected}, {"text": None}]
    assert modifier.modify_document("") == ""


def test_patterns_are_a_list() -> None:
    with pytest.raises(TypeError, match="patterns must be a list of lines, not 'x'"):
        stages.LineRemover("x")
