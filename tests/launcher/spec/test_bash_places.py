"""Where a position of bash source text lies."""

import pytest

from curator_slurm.launcher.spec.bash_places import Quoting, places


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("echo @", Quoting.BARE),
        ('echo "@"', Quoting.DOUBLE),
        ('echo "a" @', Quoting.BARE),
        ('echo "a\\"@"', Quoting.DOUBLE),
        ("echo '@'", Quoting.OTHER),
        ("echo $'it\\'s @'", Quoting.OTHER),
        ("echo \\' @", Quoting.BARE),
        ("# don't\necho @", Quoting.BARE),
        ("echo # don't @", Quoting.COMMENT),
        ("echo a#don't @'", Quoting.OTHER),
        ('echo "$(ls @)"', Quoting.BARE),
        ('echo "$(ls "@")"', Quoting.DOUBLE),
        ('echo "$(ls) @"', Quoting.DOUBLE),
        ("(cd x; ls @)", Quoting.BARE),
        ("cat <<< @", Quoting.BARE),
        ("cat << EOF\n@\nEOF", Quoting.OTHER),
        ("cat <<-'E'\n@\nE", Quoting.OTHER),
        ("echo `ls @`", Quoting.OTHER),
        ('echo "${X:-@}"', Quoting.DOUBLE),
        ('echo "${X:-"@"}"', Quoting.DOUBLE),
        ("echo ${X:-@}", Quoting.BARE),
        ('echo ${X:-"@"} ', Quoting.DOUBLE),
        ('echo ${X} "@"', Quoting.DOUBLE),
        ("echo ${a[@]}", Quoting.OTHER),
        ("echo ${a:@}", Quoting.OTHER),
        ("echo ${a:-@}", Quoting.BARE),
        ("echo $((1 + @))", Quoting.OTHER),
        ("echo $(((1) + 1)) @", Quoting.BARE),
        ("((x = 1)); ls @", Quoting.BARE),
        ("[[ @ -eq 1 ]]", Quoting.OTHER),
        ("[[ -e @ ]]", Quoting.BARE),
        ("[[ 1 -eq 1 ]] && ls @", Quoting.BARE),
        ("echo $(case x in x) ls @;; esac)", Quoting.BARE),
        ('echo "$(case x in x) ls;; esac) @"', Quoting.DOUBLE),
        ('echo "$(echo case) @"', Quoting.DOUBLE),
    ],
)
def test_places(text, place):
    assert places(text, [text.index("@")]) == [place]
