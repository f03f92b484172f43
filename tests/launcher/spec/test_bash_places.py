"""Where a position of bash source text lies."""

import pytest

from curator_slurm.launcher.spec.bash_places import Place, places


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("echo @", Place.BARE),
        ('echo "@"', Place.DOUBLE),
        ('echo "a" @', Place.BARE),
        ('echo "a\\"@"', Place.DOUBLE),
        ("echo '@'", Place.OTHER),
        ("echo $'it\\'s @'", Place.OTHER),
        ("echo \\' @", Place.BARE),
        ("# don't\necho @", Place.BARE),
        ("echo # don't @", Place.COMMENT),
        ("echo a#don't @'", Place.OTHER),
        ('echo "$(ls @)"', Place.BARE),
        ('echo "$(ls "@")"', Place.DOUBLE),
        ('echo "$(ls) @"', Place.DOUBLE),
        ("(cd x; ls @)", Place.BARE),
        ("cat <<< @", Place.BARE),
        ("cat << EOF\n@\nEOF", Place.OTHER),
        ("cat <<-'E'\n@\nE", Place.OTHER),
        ("echo `ls @`", Place.OTHER),
        ('echo "${X:-@}"', Place.DOUBLE),
        ('echo "${X:-"@"}"', Place.DOUBLE),
        ("echo ${X:-@}", Place.BARE),
        ('echo ${X:-"@"} ', Place.DOUBLE),
        ('echo ${X} "@"', Place.DOUBLE),
        ("echo ${a[@]}", Place.OTHER),
        ("echo ${a:@}", Place.OTHER),
        ("echo ${a:-@}", Place.BARE),
        ("echo $((1 + @))", Place.OTHER),
        ("echo $(((1) + 1)) @", Place.BARE),
        ("((x = 1)); ls @", Place.BARE),
        ("[[ @ -eq 1 ]]", Place.OTHER),
        ("[[ -e @ ]]", Place.BARE),
        ("[[ 1 -eq 1 ]] && ls @", Place.BARE),
        ("echo $(case x in x) ls @;; esac)", Place.BARE),
        ('echo "$(case x in x) ls;; esac) @"', Place.DOUBLE),
        ('echo "$(echo case) @"', Place.DOUBLE),
    ],
)
def test_places(text, place):
    assert places(text, [text.index("@")]) == [place]
