"""Commands: values arrive unchanged, wherever they stand, and none of them ever runs."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.errors import PlaceholderError
from curator_slurm.launcher.spec import spec_file
from curator_slurm.launcher.spec.command_text import argument_list, bash_script, errors_in_text

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
    "x[$(touch ran)]=1",
    "0+x[$(touch ran)]",
    "';touch ran #",
    "a]=1;touch ran",
    "/x|e\ntouch ran\n#",
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
    "echo $((1 << 2)) §",
    'echo "$(echo a # it\'s )\necho §)"',
    'x=(1 # it\'s\n§); echo "${x[@]}"',
    'a=(§ "§"); a+=(§); a[0]=§; a[1]="§"',
    'echo ${m["key"]} ${m[\'key\']} § "§"',
    "[[ x == [a-z]* ]] && echo §",
    "[[ x =~ [^]]+ ]] && echo §",
    "[[ § =~ x ]]; [[ x =~ § ]]; [[ x == § ]]; [[ § < § ]]",
    "echo [a-z]§ [!a]§ file[0-9] §",
    '((x = "1")); echo §',
    "for ((i=0; i<1; i++)); do echo §; done",
    'var=abc; echo "${var/§}" "${var/"§"/"§"}" ${var//b/§} ${var#§} ${var%%§}',
    'echo "${@:-§}" "${*:+"§"}" "${x:?-}" 2>/dev/null §',
    'cat <(echo §) <(echo "§")',
    'case § in a) ;; esac; case x in §) ;; "§"|b) ;; (§) ;; esac',
    'function f { echo "§"; }; f § "§"',
    'echo "a $(echo "b $(echo "c §")")"',
    "echo it's' \" §\"'",
    'echo \\`§ \\$§ \\${§ \\"§\\"',
    'echo "\\`§\\`" "\\$(§)"',
    "shopt -s extglob; echo !(§) @(a|§)",
    "echo {a,§} {§..3} ~§ §* ?§",
    'export "X=§"; export X=§ Y="§"; X=§ env >/dev/null',
    'sed s/a/b/ § "§" </dev/null',
    "awk -f no.awk §",
    'bash -c \'printf "<%s>" "$@"\' _ § "§"',
    'python3 no.py -c § "§"',
    "echo § | sort | cat",
    "echo § || sh no.sh",
    "echo eval § trap let",
    "grep -e § no",
    "true > § 2>&1",
    "cat < §",
    "§",
    '"§"',
]
"""Commands with `§` in the place of a placeholder."""


EVALUATED = [
    "echo '§'",
    "echo `echo §`",
    'echo "`echo "§"`"',
    "cat <<EOF\n§\nEOF",
    "cat <<'EOF'\n§\nEOF",
    "cat <<-1\n§\n1",
    'echo "$(cat <<EOF\n§\nEOF\n)"',
    "echo $((§))",
    'echo "$((1 + (§)))"',
    "echo $(( $(echo §) ))",
    "echo $(( $(echo '))') + § ))",
    "echo $[§+1]",
    "((§))",
    "for ((i=0; i<§; i++)); do break; done",
    "a=(1); echo ${a[§]}",
    'a=(1); echo "${a["§"]}"',
    "a[§]=1",
    'a["§"]+=x',
    "a[$(echo §)]=1",
    "a=([§]=1)",
    "declare -A m; m[§]=1",
    "a=1; echo ${a:§}",
    "a=1; echo ${a:1:§}",
    ': ${@:§} "${*:1:§}"',
    "[[ § -eq 1 ]]",
    "[[ 1 -lt § && 2 -gt 1 ]]",
    "[[ -v § ]]",
    'test -v "§"',
    "[ -v § ]",
    "t=test; $t -v §",
    "eval echo §",
    'eval "echo §"',
    'eval "$(echo §)"',
    'eval >&2 "§"',
    "eval \\\n  §",
    '"eval" §',
    "\\eval §",
    "command eval §",
    "if eval §; then :; fi",
    "! eval §",
    "{ eval §; }",
    "( eval § )",
    "f() { eval §; }; f",
    "function f { eval §; }; f",
    "case x in x) eval §;; esac",
    "case x in (x) eval §;; esac",
    ">/dev/null A=1 eval §",
    "time -p eval §",
    "true && eval § | cat",
    'bash -c "echo §"',
    "bash -c \"echo '§'\"",
    'bash -o pipefail -ec "§"',
    'env A=1 /bin/sh -c "ls §"',
    'timeout 5 sh -c "ls §"',
    'find . -maxdepth 0 -exec sh -c "§" \\;',
    'bash -c "$(echo "$(echo §)")"',
    'bash <<< "echo §"',
    "bash<<<§",
    'echo "echo §" | bash',
    "echo § | tee no | sudo sh -s",
    'ssh host "cat §"',
    'trap "rm -f §" EXIT',
    "trap § EXIT",
    'alias l="ls §"',
    "printf -v § %s 1",
    "read § <<< x",
    'read "a[§]" <<< x',
    "mapfile -C § -c 1 <<< x",
    'unset "§"',
    'declare "x=§"',
    "declare -n r=§",
    'typeset -i x="§"',
    "declare -i x; x=§",
    "let x=§",
    'let "x = 1 + §"',
    'PS4="§"; set -x; echo',
    "BASH_ENV=§ bash -c :",
    'x=§; echo "${x@P}"',
    'sed "s|a|§|" <<< a',
    'sed -n -e p -e "s/a/§/" <<< a',
    'awk "BEGIN { print \\"§\\" }"',
    "python3 -c \"print('§')\"",
    "perl -e \"print '§'\"",
    "make X=§",
]
"""The same, where the value would be taken as source text: by bash, or by what bash starts."""


def run(text, tmp_path, **context):
    script = tmp_path / "command.sh"
    script.write_text(bash_script(text, context), encoding="utf-8", errors="surrogateescape")
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, cwd=folder, check=False, timeout=120)
    assert "ran" not in {path.name for path in folder.iterdir()}, script.read_text(errors="replace")
    return done


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_name_never_runs(shape, tmp_path):
    """All names in one bash, each in a shell of its own: as the last of several files, and as the only value."""
    files = shape.replace("§", "${input.files}")
    folder = shape.replace("§", "${output_dir}")
    assert list(errors_in_text(files)) == []
    scripts = [bash_script(files, {"input.files": ["/first", value]}) for value in RUNS]
    scripts += [
        bash_script(files, {"input.files": RUNS}),
        *(bash_script(folder, {"output_dir": value}) for value in RUNS),
    ]
    for number, script in enumerate(scripts):
        (tmp_path / f"{number}.sh").write_text(script)
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(
        ["bash", "-c", 'for script in ../*.sh; do (cd "$PWD" && . "$script"); done'],
        cwd=work,
        env={**os.environ, "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}"},  # not what chooses among Pythons
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert "ran" not in {path.name for path in work.rglob("*")}


@pytest.mark.parametrize("shape", EVALUATED)
def test_names_of_files_are_refused_where_they_would_be_source_text(shape):
    """When the spec is read: nobody knows then what a file will be called."""
    for placeholder in ("${input.files}", "${shard.files}", "${env:NAME}"):
        message, *_ = errors_in_text(shape.replace("§", placeholder))
        assert placeholder in message
        assert "could run as a command" in message
    assert list(errors_in_text(shape.replace("§", "${output_dir}"))) == []


def test_the_refusal_is_an_error_of_the_spec_with_its_line():
    text = 'name: n\ninput: {paths: [x]}\npipeline:\n  command: eval "sort ${input.files}"\n'
    [problem] = spec_file.read_string(text, "spec.yaml").problems
    assert str(problem).startswith("spec.yaml:4: `pipeline.command`: `${input.files}` is where bash")
    listed = text.replace('eval "sort ${input.files}"', '[sort, "${input.files}"]')
    assert spec_file.read_string(listed, "spec.yaml").problems == []


@pytest.mark.parametrize("text", ["echo ${output_dir} " * 300, "echo ${output_dir}" + " " * 300_000])
def test_a_command_too_long_to_look_at(text):
    [message] = errors_in_text(text)
    assert "put it into a script" in message


@pytest.mark.parametrize("shape", EVALUATED)
def test_where_no_value_can_be_bound_only_plain_ones_stand(shape):
    text = shape.replace("§", "${output_dir}")
    assert "/plain" in bash_script(text, {"output_dir": "/plain"})
    for value in RUNS:
        with pytest.raises(PlaceholderError, match="double quotes"):
            bash_script(text, {"output_dir": value})


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
