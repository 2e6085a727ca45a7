from datctl import cli
from datctl.grammar import grammar_of

GRAMMAR = grammar_of(cli.app, cli.app.meta)


def test_every_verb_is_in_it_with_what_it_is_for():
    verbs = GRAMMAR[""]["verbs"]
    assert verbs["pause"] == "Stop fetching and serving archives, and keep what is here"
    assert set(GRAMMAR["jobs"]["verbs"]) == {"show", "wait", "cancel"}
    assert {"jobs wait", "keys import", "peers add"} <= set(GRAMMAR)
    assert all(len(text) <= 60 for text in verbs.values())


def test_options_say_what_they_take():
    options = GRAMMAR["add"]["options"]
    assert options["--paused"] is None
    assert options["--mode"] == ["archive", "latest", "sparse"]
    assert options["--tag"] == "tag"
    assert options["--name"] == ""
    assert options["--from"] == "file"
    assert options["--api"] == ""
    assert "--daemon" not in options
    assert GRAMMAR["ls"]["options"]["-l"] is None
    assert GRAMMAR["set"]["options"]["--no-watch"] is None


def test_what_stands_behind_a_verb():
    def behind(verb):
        return GRAMMAR[verb]["takes"], GRAMMAR[verb]["more"]

    assert behind("show") == (["archive"], False)
    assert behind("pause") == (["archive"], True)
    assert behind("get") == (["place", "file"], False)
    assert behind("export") == (["place", "folder"], False)
    assert behind("diff") == (["archive", "version", "version"], False)
    assert behind("mode") == (["archive", ["archive", "latest", "sparse"]], False)
    assert behind("networks") == (["archive", "network"], True)
    assert behind("jobs wait")[0] == ["job", ""]
    assert behind("list") == ([], False)
