import pytest

from datctl import cli


@pytest.mark.parametrize("seconds", ["-1", "nan", "301", "x"])
def test_how_long_to_listen_has_to_make_sense(seconds, capsys):
    assert cli.main(["discover", "--seconds", seconds]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_strangers_announce_cannot_steer_the_terminal(capsys):
    """A table and a document of what was found; finding it is tested in a network of its own."""
    from datctl.commands.discovering import print_found
    from datctl.lan import Found

    print_found([Found("a\x1b[2J", "http://192.0.2.7:3472", "1\x07", "h.local")], json=False)
    told = capsys.readouterr().out
    assert "a\\x1b[2J" in told
    assert "\x1b" not in told
    print_found([Found("a\x1b[2J", "http://192.0.2.7:3472", "1", "h.local")], json=True)
    assert '"name": "a\\u001b[2J"' in capsys.readouterr().out
    print_found([], json=False)
    assert "no daemon announces itself" in capsys.readouterr().err
