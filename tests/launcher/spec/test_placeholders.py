"""Placeholders: found, checked, and filled in without changing a value."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.errors import PlaceholderError
from curator_slurm.launcher.spec.placeholders import command_line, mistakes, substitute

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


def test_mistakes_of_a_spec():
    assert not list(mistakes("${output_dir}/x $${y} ${env:A}", has_input=False))
    assert "needs `input.paths`" in next(mistakes("${input.files}", has_input=False))
    assert "must stand alone" in next(mistakes("a ${input.files}", has_input=True))
    assert "did you mean `${shard.files}`" in next(mistakes("${shard_files}", has_input=True))
    assert not list(mistakes("echo ${HOME:-x} ${files[@]} ${output_dir}", has_input=True, bash=True))
    assert "needs `input.paths`" in next(mistakes("cat ${input.files}", has_input=False, bash=True))


def test_list_command_expands_files_to_arguments():
    assert command_line(["cat", "${input.files}", "-o${output_dir}", "$${x}"], CONTEXT) == [
        "cat",
        "/in/a b.txt",
        "/in/it's.txt",
        "-o/out dir",
        "${x}",
    ]


NASTY = "a b'c\"d$(touch x)`e`\\f\n*;&é "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("printf '<%s>' ${output_dir}", f"<{NASTY}>"),
        ("printf '<%s>' \"${output_dir}\"", f"<{NASTY}>"),
        ("printf '<%s>' \"x${output_dir}y\" # don't", f"<x{NASTY}y>"),
        ("# don't\nprintf '<%s>' ${output_dir}", f"<{NASTY}>"),
        ("printf '<%s>' \"$(printf %s ${output_dir}; echo .)\"", f"<{NASTY}.>"),
        ('printf \'<%s>\' "$(printf %s "${output_dir}"; echo .)"', f"<{NASTY}.>"),
        ("printf '<%s>' it\\'s ${output_dir}", f"<it's><{NASTY}>"),
        ("x=1; printf '<%s>' ${x} $${x} ${output_dir}", f"<1><1><{NASTY}>"),
        ("(printf '<%s>' $'it\\'s' ${output_dir})", f"<it's><{NASTY}>"),
        ("printf '<%s>' ${input.files}", f"<1><{NASTY}>"),
        ("printf '<%s>' \"${input.files}\"", f"<1><{NASTY}>"),
    ],
)
def test_values_in_bash_text_arrive_unchanged(text, expected, tmp_path):
    context = {"output_dir": NASTY, "input.files": ["1", NASTY]}
    done = subprocess.run(command_line(text, context), capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["echo '${output_dir}'", "cat <<EOF\n${output_dir}\nEOF\n", "echo `ls ${output_dir}`"])
def test_bash_text_where_nothing_can_be_quoted(text):
    assert command_line(text, {"output_dir": "/plain/dir"})[2] == text.replace("${output_dir}", "/plain/dir")
    with pytest.raises(PlaceholderError, match="double quotes"):
        command_line(text, {"output_dir": "/a b"})


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_any_value_survives_bash(value):
    command = command_line("printf '%s\\0' ${output_dir} \"${output_dir}\"", {"output_dir": value})
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.decode() == f"{value}\0{value}\0"
