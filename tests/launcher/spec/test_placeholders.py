"""Placeholders: found, checked, and filled in without changing a value."""

import pytest

from curator_slurm.launcher.errors import PlaceholderError
from curator_slurm.launcher.spec.placeholders import errors_in, substitute

CONTEXT = {
    "input.files": ["/in/a b.txt", "/in/it's.txt"],
    "shard.files": ["/in/a b.txt"],
    "shard.index": 0,
    "output_dir": "/out dir",
    "run_dir": "/run",
    "env": {"HF_HOME": "/hf"},
}


def test_a_placeholder_alone_keeps_its_type():
    assert substitute("${input.files}", CONTEXT) == ["/in/a b.txt", "/in/it's.txt"]
    assert substitute("${shard.index}", CONTEXT) == 0


def test_inside_text_and_nested():
    value = {"a": ["x/${output_dir}/${shard.index}", 3, None], "b": {"c": "${env:HF_HOME}/x"}}
    assert substitute(value, CONTEXT) == {"a": ["x//out dir/0", 3, None], "b": {"c": "/hf/x"}}


def test_escape():
    assert substitute("$${output_dir} $5 $$ $$${x}", CONTEXT) == "${output_dir} $5 $$ $${x}"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("${output_dri}", "did you mean `${output_dir}`"),
        ("files: ${input.files}", "must stand alone"),
        ("${open", "not closed"),
        ("${env:NOT_SET}", "NOT_SET is not set"),
        ("${HOME}", "`${env:HOME}`"),
    ],
)
def test_what_cannot_be_filled_in(text, part):
    with pytest.raises(PlaceholderError) as caught:
        substitute(text, CONTEXT)
    assert part in str(caught.value)


def test_errors_in_a_spec():
    assert not list(errors_in("${output_dir}/x $${y} ${env:A}", has_input=False))
    assert "requires `input.paths`" in next(errors_in("${input.files}", has_input=False))
    assert "must stand alone" in next(errors_in("a ${input.files}", has_input=True))
    assert "did you mean `${shard.files}`" in next(errors_in("${shard_files}", has_input=True))
    assert not list(errors_in("echo ${HOME:-x} ${files[@]} ${output_dir}", has_input=True, bash=True))
    assert "requires `input.paths`" in next(errors_in("cat ${input.files}", has_input=False, bash=True))
