"""Commands: values arrive unchanged, wherever they stand, and none of them ever runs."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.errors import PlaceholderError
from curator_slurm.launcher.spec.command_text import argument_list, bash_script

NASTY = "a b'c\"d$(touch ran)`touch ran`\\f\n*;&é "
RUNS = [
    "$(touch ran)",
    "`touch ran`",
    "'; touch ran; '",
    '"; touch ran; "',
    '"$(touch ran)"',
    "; touch ran #",
    "\ntouch ran\n",
    ") touch ran ;;",
    "} touch ran; {",
    "x[$(touch ran)]",
    "a[$(touch ran)]=1",
    "${x:=$(touch ran)}",
    "| touch ran",
    "&& touch ran",
    "-v x[$(touch ran)]",
    "EOF\ntouch ran\ncat <<EOF",
    "')\ntouch ran\n#",
]
"""File names that are commands where they become source text."""
SHAPES = [
    "echo §",
    'echo "§"',
    'echo "x§y"',
    'echo "${X:-"§"}"',
    'echo "${X:-§}"',
    "echo ${X:-§}",
    'echo ${X:-"§"}',
    'echo "${X:-"${Y:-"§"}"}"',
    'X=1; echo "${X:+"§"}"',
    'echo "${X:=§}"',
    'echo "$(echo §)"',
    'echo "$(echo "§")"',
    'echo "$(echo "${X:-"§"}")"',
    "echo $(case x in a) echo no;; x) echo §;; esac)",
    'echo "$(case x in a) echo no;; x) echo "§";; esac)"',
    'echo "$(case x in (a) echo no;; (x) echo §;; esac)" §',
    "case x in a) ;; x) echo §;; esac",
    'case "§" in x) ;; *) echo "§";; esac',
    "echo 1 # §",
    "# §\necho 1",
    "echo 1 # don't §\necho §",
    "echo a#b §",
    "(cd . && echo §)",
    "{ echo §; }",
    'f() { echo "$§"; }; f §',
    'for f in §; do echo "$f"; done',
    'files=(§); echo "${files[@]}"',
    'x=§; echo "$x"',
    'x="§"; echo "${x%.txt}"',
    "cat <<< §",
    'cat <<< "§"',
    "[[ -e § ]] || echo §",
    '[[ "§" == x ]] || echo "§"',
    "[ -e § ] || echo §",
    "if test -e §; then echo yes; else echo §; fi",
    'while read -r line; do echo "$line"; done < <(echo §)',
    "echo § | cat | cat",
    "echo § && echo §; echo §",
    "! echo §",
    "echo \\\n  §",
    "echo it\\'s §",
    'echo "it\'s §"',
    "echo 'it' § 's'",
    "echo $'it\\'s' §",
    'echo "a\\"§"',
    'set -- §; echo "$#"',
    "printf '%s\\n' §",
    'trap "echo end" EXIT; echo §',
    "time echo §",
    "echo $((1 + 1)) §",
    "((1)) && echo §",
    "a=(1 2); echo ${a[0]} ${a[@]:1} §",
    'echo "${X-§}" "${X?-}" 2>/dev/null; echo §',
]
"""Commands with `§` in the place of a placeholder."""


def run(text, tmp_path, **context):
    script = tmp_path / "command.sh"
    script.write_text(bash_script(text, context), encoding="utf-8", errors="surrogateescape")
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, cwd=folder, check=False, timeout=20)
    assert not list(folder.iterdir()), f"a value ran as a command: {script.read_text(errors='replace')}"
    return done


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_name_never_runs(shape, tmp_path):
    run(shape.replace("§", "${input.files}"), tmp_path, **{"input.files": RUNS})
    for value in RUNS:
        run(shape.replace("§", "${output_dir}"), tmp_path, output_dir=value)


@pytest.mark.parametrize(
    "shape",
    [
        "echo '§'",
        "echo `echo §`",
        "cat <<EOF\n§\nEOF",
        "cat <<'EOF'\n§\nEOF",
        "echo $((§))",
        "echo $((1 + (§)))",
        "((§))",
        "a=(1); echo ${a[§]}",
        "a=1; echo ${a:§}",
        "[[ § -eq 1 ]]",
        "[[ 1 -lt § && 2 -gt 1 ]]",
        "[[ -v § ]]",
    ],
)
def test_where_no_value_can_be_bound_only_plain_ones_stand(shape, tmp_path):
    text = shape.replace("§", "${output_dir}")
    assert "/plain" in bash_script(text, {"output_dir": "/plain"})
    for value in RUNS:
        with pytest.raises(PlaceholderError, match="double quotes"):
            run(text, tmp_path, output_dir=value)


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
        ("printf '<%s>' \"-${input.files}-\"", f"<-1><{NASTY}->"),
        ('printf \'<%s>\' "${X:-"${input.files}"}"', f"<1><{NASTY}>"),
        ("printf '<%s>' \"${X:-${output_dir}}\"", f"<{NASTY}>"),
        ("printf '<%s>' ${X:-\"${output_dir}\"}", f"<{NASTY}>"),
        ("case x in a) ;; x) printf '<%s>' ${output_dir};; esac", f"<{NASTY}>"),
        ("printf '<%s>' \"$(case x in x) printf %s ${output_dir}; echo .;; esac)\"", f"<{NASTY}.>"),
        ('printf \'<%s>\' "$(echo case; printf %s "${output_dir}"; echo .)"', f"<case\n{NASTY}.>"),
        ("printf '<%s>' ${output_dir} # ${output_dir} and ${input.files}", f"<{NASTY}>"),
        ('f=(${input.files}); printf \'<%s>\' "${#f[@]}" "${f[1]}"', f"<2><{NASTY}>"),
        ("x=${output_dir}; printf '<%s>' \"$x\"", f"<{NASTY}>"),
        ("[[ ${output_dir} == \"${output_dir}\" ]] && printf '<%s>' same", "<same>"),
    ],
)
def test_values_arrive_unchanged(text, expected, tmp_path):
    done = run(text, tmp_path, **{"output_dir": NASTY, "input.files": ["1", NASTY]})
    assert (done.stdout, done.stderr) == (expected, "")


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_any_value_survives(value):
    script = bash_script("printf '%s\\0' ${output_dir} \"${output_dir}\"", {"output_dir": value})
    done = subprocess.run(["bash"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode() == f"{value}\0{value}\0"


def test_values_of_the_environment_are_not_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", NASTY)
    context = {"env": {"TOKEN": NASTY}}
    assert "touch" not in bash_script("echo ${env:TOKEN}", context)
    assert run("printf '<%s>' ${env:TOKEN}", tmp_path, **context).stdout == f"<{NASTY}>"
    with pytest.raises(PlaceholderError) as caught:
        bash_script("echo '${env:TOKEN}'", context)
    assert "touch" not in str(caught.value)


@pytest.mark.parametrize("text", ["echo '${env:TOKEN}'", "echo $((${env:TOKEN}))"])
def test_a_secret_is_never_written_down(text):
    context = {"env": {"TOKEN": "s3cret"}}
    assert "s3cret" in bash_script(text, context), "it is plain"
    with pytest.raises(PlaceholderError, match="the secret itself would be written") as caught:
        bash_script(text, {**context, "secrets": {"TOKEN"}})
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in bash_script('echo "${env:TOKEN}"', {**context, "secrets": {"TOKEN"}})


def test_more_files_than_fit_on_a_command_line(tmp_path):
    files = [f"/data/{'x' * 100}/{number}" for number in range(20_000)]
    assert run("set -- ${input.files}; echo $#", tmp_path, **{"input.files": files}).stdout == "20000\n"


def test_a_list_expands_files_to_arguments():
    context = {"input.files": ["/in/a b.txt", "/in/it's.txt"], "output_dir": "/out dir"}
    assert argument_list(["cat", "${input.files}", "-o${output_dir}", "$${x}"], context) == [
        "cat",
        "/in/a b.txt",
        "/in/it's.txt",
        "-o/out dir",
        "${x}",
    ]
