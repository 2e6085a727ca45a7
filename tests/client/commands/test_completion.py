import asyncio
import json
import os
import resource
import subprocess
import sys

import pytest
from tests.helpers.api import TOKEN
from tests.helpers.typing_shells import PATIENTLY, typing_shell

from datctl import cli
from datctl.grammar import grammar_of

SHELLS = ("bash", "zsh", "fish")
# A person notices a fifth of a second. It took 0.05 where a Python that does nothing takes 0.01:
# what it takes elsewhere is measured by that.
SOON = 10.0


@pytest.fixture
def environment(api):
    return {"DATD_API": api.url, "DATD_TOKEN": TOKEN}


@pytest.fixture
async def published(dat, site):
    """An archive with a name that needs care in shells, a tag and named versions."""
    (site / "two words.txt").write_text("x")
    archive = await dat.publish(str(site), name="recipes", tags=["kitchen"])
    await dat.finished(archive.job)
    await dat.change("recipes", version_tags={"before-easter": 2})
    return await dat.archive("recipes")


def script(shell, capfd):
    assert cli.main(["completion", shell]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("name", SHELLS)
async def test_shells_complete_verbs_options_and_what_the_daemon_knows(
    name, environment, published, tmp_path, capfd
):
    def type_all():
        with typing_shell(name, tmp_path, script(name, capfd), environment) as shell:
            assert shell.complete("datctl verif", "y") == ["datctl", "verify"]
            assert shell.complete("datctl jobs canc", "el") == ["datctl", "jobs", "cancel"]
            assert shell.complete("datctl list --stat", "e") == ["datctl", "list", "--state"]
            mode = shell.complete("datctl add x --mode spa", "rse")
            assert mode == ["datctl", "add", "x", "--mode", "sparse"]
            assert shell.complete("datctl show reci", "pes") == ["datctl", "show", "recipes"]
            tag = shell.complete("datctl list --tag kit", "chen")
            assert tag == ["datctl", "list", "--tag", "kitchen"]
            file = shell.complete("datctl cat recipes/so", "ups")
            assert file == ["datctl", "cat", "recipes/soups/"]
            spaced = shell.complete("datctl cat recipes/two", "words")
            assert spaced == ["datctl", "cat", "recipes/two words.txt"]
            link = shell.complete(f"datctl show dat://{published.key[:8]}", published.key[8:12])
            assert link == ["datctl", "show", f"dat://{published.key}"]
            version = shell.complete("datctl ls recipes --version bef", "easter")
            assert version == ["datctl", "ls", "recipes", "--version", "before-easter"]
            host = shell.complete("datctl get recipes scri", "pt")
            assert host == ["datctl", "get", "recipes", "script"]

    await asyncio.to_thread(type_all)


def grammar():
    return json.dumps(grammar_of(cli.app, cli.app.meta))


def completed(*words, **env):
    """What a shell gets; nothing may come on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", PATIENTLY, "__complete", *words],
        env=os.environ | {"DATCTL_GRAMMAR": grammar()} | env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


async def test_names_are_there_before_a_person_notices(api, published):
    env = {"DATD_API": f"unix://{api.socket_path}", "DATCTL_GRAMMAR": grammar()}

    def complete():
        assert completed("show", "", **env)[1].startswith("recipes\t")

    def start():
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def seconds(work):
        """Of the processor: others may be using it, too."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        work()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # In turn, so that both meet the same machine.
    taken = [await asyncio.to_thread(seconds, work) for work in [complete, start] * 5]
    assert min(taken[::2]) < SOON * min(taken[1::2])


def test_completing_loads_neither_verbs_nor_http_libraries():
    code = (
        "import sys; from datctl.__main__ import main; main();"
        "found = {'cyclopts', 'aiohttp', 'pydantic', 'asyncio', 'rich'} & set(sys.modules);"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "__complete", "show", "x"],
        env=os.environ | {"DATCTL_GRAMMAR": grammar()}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_daemon_words_are_completed_and_nothing_is_said():
    nobody = {"DATD_API": "http://127.0.0.1:9"}
    assert completed("show", "", **nobody) == ["words"]
    assert completed("li", **nobody) == ["words", "list\tList the archives that are hosted"]


@pytest.mark.parametrize("made", ["", "{", "[]", '{"": 3}'])
def test_a_damaged_script_completes_nothing_and_says_nothing(made):
    assert completed("li", DATCTL_GRAMMAR=made) == []
