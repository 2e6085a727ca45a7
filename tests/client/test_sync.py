import asyncio
import csv
import inspect
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.helpers import sync_methods
from tests.helpers.daemon import VERB_SECONDS, running_daemon

import datctl
from datctl import client
from datctl.errors import NoDaemon, NotFound
from datctl.models_jobs import Job
from datctl.sync import Client, method_names


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with running_daemon(tmp_path_factory.mktemp("sync") / "datd") as running:
        yield running


@pytest.fixture
def dat(daemon):
    with Client(daemon.api, token=daemon.token, env={}) as made:
        yield made


@pytest.fixture
def key(dat):
    key = dat.create(title="ours").key
    yield key
    dat.remove(key, force=True, delete_key=True)


def run(daemon, script, *arguments, **variables):
    """A script as a person writes it, in a process of its own."""
    env = {**os.environ, "DATD_API": daemon.api, "DATD_TOKEN": daemon.token, **variables}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
    )


def test_types_of_its_methods_are_those_of_the_asynchronous_client():
    assert sync_methods.STUB.read_text() == sync_methods.written(), (
        "methods of the client have changed: run `python -m tests.helpers.sync_methods`"
    )


def test_it_has_every_method_and_tells_how_each_is_called(dat):
    names = method_names(client.Client("http://127.0.0.1:1", token="x", env={}))
    assert {"add", "archives", "list", "stream", "put", "jobs"} <= set(names) <= set(dir(dat))
    for name in names:
        assert inspect.getdoc(getattr(dat, name)), name
    assert next(iter(inspect.signature(dat.add).parameters)) == "link"
    with pytest.raises(AttributeError):
        _ = dat.nothing


def test_files_are_written_listed_and_read(dat, key, tmp_path):
    local = tmp_path / "table.csv"
    local.write_text("a,b\n" + "1,2\n" * 100_000)
    with local.open("rb") as file:
        assert dat.put(key, "/table.csv", file).version == 2
    dat.put(key, "/pieces", (piece for piece in [b"ab", b"", b"cd"]))
    dat.put(key, "/buffer", bytearray(b"xy"))
    assert sorted(entry.path for entry in dat.walk(key)) == [
        "/buffer", "/dat.json", "/pieces", "/table.csv",
    ]  # fmt: skip
    assert dat.read(key, "/pieces") == b"abcd"
    with dat.open(key, "/table.csv") as raw, io.TextIOWrapper(raw) as text:
        assert sum(1 for _ in csv.reader(text)) == 100_001
    with dat.stream(key, "/table.csv", start=4) as pieces:
        assert b"".join(pieces) == local.read_bytes()[4:]
    with dat.stream(key, "/table.csv") as pieces:
        assert next(pieces)
    assert len(list(dat.all_archives())) == 1


def test_errors_are_those_of_the_asynchronous_client(dat, key):
    with pytest.raises(NotFound):
        dat.read(key, "/nothing")
    with pytest.raises(NotFound):
        dat.open(key, "/nothing")
    with pytest.raises(NotFound):
        list(dat.walk(key, "/nothing"))
    with pytest.raises(NotFound), dat.stream(key, "/nothing"):
        pass
    with pytest.raises(KeyError), dat.stream(key, "/dat.json"):
        raise KeyError("of the caller")
    with Client("http://127.0.0.1:9", token="x", env={}) as nobody, pytest.raises(NoDaemon):
        nobody.info()


def test_a_file_that_cannot_be_opened_is_no_trouble_when_it_is_collected(daemon):
    done = run(
        daemon,
        "from datctl import DatdError\n"
        "from datctl.sync import Client\n"
        "try:\n"
        "    Client().open('nobody', '/a')\n"
        "except DatdError:\n"
        "    print('told')\n",
        PYTHONDEVMODE="1",  # else Python keeps silent about it
    )
    assert done.stdout == "told\n"
    assert "ignored" not in done.stderr


def test_a_client_that_is_closed_ends_what_is_open(daemon):
    done = run(
        daemon,
        "from datctl.sync import Client\n"
        "dat = Client()\n"
        "key = dat.create().key\n"
        "dat.put(key, '/a', bytes(20_000_000))\n"
        "file = dat.open(key, '/a')\n"
        "with dat.stream(key, '/a') as pieces:\n"
        "    assert next(pieces)\n"
        "    dat.close()\n"
        "    for read in (lambda: sum(map(len, pieces)), file.read):\n"
        "        try:\n"
        "            read()\n"
        "        except (RuntimeError, ValueError) as error:\n"
        "            print(error)\n"
        "dat.remove(key, force=True, delete_key=True)\n",
    )
    assert done.stderr == ""
    assert done.stdout == "the client is closed\nthe file is closed\n"


def test_a_callback_hears_of_the_job(dat, key):
    heard: list[Job] = []
    ended = dat.finished(dat.verify(key).id, heard.append)
    assert ended.state == "done"
    assert heard[-1] == ended
    with pytest.raises(RuntimeError, match="callback"):
        dat.finished(ended.id, lambda job: dat.info())


def test_it_opens_by_itself_and_again_after_its_end(daemon):
    before = threading.enumerate()
    dat = Client(daemon.api, token=daemon.token, env={})
    assert dat.info().name == "datd"
    assert [one.name for one in threading.enumerate() if one not in before] == ["datctl"]
    dat.close()
    dat.close()
    assert dat.info().name == "datd"
    dat.close()
    assert not [one for one in threading.enumerate() if one not in before]


def test_threads_share_it(dat, key):
    dat.put(key, "/a", b"x" * 100_000)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: dat.read(key, "/a", start=number), range(64)))
    assert [len(data) for data in found] == [100_000 - number for number in range(64)]


async def test_a_notebook_has_a_loop_already(dat, key):
    assert asyncio.get_running_loop().is_running()
    assert dat.archive(key).key == key
    assert next(iter(dat.all_archives())).key == key


def test_a_script_ends_though_nothing_was_closed(daemon):
    done = run(
        daemon,
        "from datctl.sync import Client\n"
        "dat = Client()\n"
        "print(dat.info().name)\n"
        "archives = dat.all_archives()\n"
        "raise SystemExit(3)\n",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("datd\n", "", 3)


def test_a_fork_has_connections_of_its_own(daemon):
    done = run(
        daemon,
        "import os\n"
        "from datctl.sync import Client\n"
        "with Client() as dat:\n"
        "    dat.info()\n"
        "    child = os.fork()\n"
        "    assert dat.info().name == 'datd'\n"
        "    if child:\n"
        "        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), dat.info().name)\n",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0 datd\n", "", 0)


def test_an_interrupted_wait_leaves_a_client_that_works(daemon):
    done = run(
        daemon,
        "import os, signal, threading\n"
        "from datctl.sync import Client\n"
        "with Client() as dat:\n"
        "    key = dat.create().key\n"
        "    noticed = threading.Event()\n"
        "    def pieces():\n"
        "        yield b'x'\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        noticed.wait(60)\n"
        "        yield b'y'\n"
        "    try:\n"
        "        dat.put(key, '/a', pieces())\n"
        "    except KeyboardInterrupt:\n"
        "        noticed.set()\n"
        "        print('interrupted', dat.archive(key).files)\n"
        "    dat.remove(key, force=True, delete_key=True)\n",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted 0\n", "", 0)


def test_a_fork_may_close_it_and_use_it_again(daemon):
    done = run(
        daemon,
        "import os\n"
        "from datctl.sync import Client\n"
        "with Client() as dat:\n"
        "    dat.info()\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        dat.close()\n"
        "    assert dat.info().name == 'datd'\n"
        "    if child:\n"
        "        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


def test_a_fork_while_another_thread_closes_it_begins_it_anew(daemon):
    done = run(
        daemon,
        "import os, threading, time\n"
        "from datctl.sync import Client\n"
        "dat = Client()\n"
        "dat.info()\n"
        "held, on = threading.Event(), threading.Event()\n"
        "dat._portal._loop.call_soon_threadsafe(lambda: (held.set(), on.wait(60)))\n"
        "assert held.wait(60)\n"
        "closing = threading.Thread(target=dat.close)\n"
        "closing.start()\n"
        "while dat._portal is not None:\n"  # it waits for its last requests then
        "    time.sleep(0.001)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(0 if dat.info().name == 'datd' else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "on.set()\n"
        "closing.join()\n"
        "print(dat.info().name)\n"
        "dat.close()\n",
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0\ndatd\n", "", 0)


def test_threads_of_a_fork_begin_it_anew_together(daemon):
    done = run(
        daemon,
        "import os, threading\n"
        "from datctl.sync import Client\n"
        "class Env(dict):\n"
        "    forked = False\n"
        "    def get(self, name, default=None):\n"
        "        if self.forked and other.ident is None:\n"
        "            other.start()\n"
        "            other.join(0.5)\n"  # it has to wait for us; else it is through by then
        "        return super().get(name, default)\n"
        "def ask():\n"
        "    names.append(dat.info().name)\n"
        "names, other, env = [], threading.Thread(target=ask), Env(os.environ)\n"
        "dat = Client(env=env)\n"
        "dat.info()\n"
        "child = os.fork()\n"
        "if child:\n"
        "    os.waitpid(child, 0)\n"
        "else:\n"
        "    env.forked = True\n"
        "    ask()\n"
        "    other.join()\n"
        "    print(names, [one.name for one in threading.enumerate()])\n",
    )
    assert done.stdout == "['datd', 'datd'] ['MainThread', 'datctl']\n"
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("work", ["dat.info()", "dat.close()"])
def test_whoever_is_interrupted_while_it_opens_or_closes_can_go_on(daemon, work):
    done = run(
        daemon,
        "import sys, threading\n"
        "from datctl.portal import Portal\n"
        "from datctl.sync import Client\n"
        "dat = Client()\n"
        "if sys.argv[1:] == ['close']: dat.info()\n"
        "def interrupt(frame, event, found):\n"  # as Ctrl-C does, just when the answer has come
        "    if frame.f_code is Portal.call.__code__:\n"
        "        if event == 'return':\n"
        "            sys.settrace(None)\n"
        "            raise KeyboardInterrupt\n"
        "        return interrupt\n"
        "try:\n"
        "    sys.settrace(interrupt)\n"
        f"    {work}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', dat.info().name)\n"
        "dat.close()\n"
        "print([one.name for one in threading.enumerate()])\n",
        *([] if work == "dat.info()" else ["close"]),
    )
    assert done.stdout == "interrupted datd\n['MainThread']\n"
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_package_is_typed(tmp_path):
    folder = Path(datctl.__file__).parent
    assert (folder / "py.typed").exists()
    (tmp_path / "script.py").write_text(
        "from datctl.sync import Client\n"
        "with Client() as dat:\n"
        "    reveal_type(dat.archive('x'))\n"
        "    reveal_type(dat.walk('x'))\n"
        "    reveal_type(dat.open('x', '/a'))\n"
        "    dat.nothing()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "script.py"], cwd=tmp_path, timeout=500,
        env={**os.environ, "MYPYPATH": str(folder.parent)}, capture_output=True, text=True,
    )  # fmt: skip
    for found in ("models.Archive", "Iterator[datctl.models.Entry]", "BufferedReader", "nothing"):
        assert found in done.stdout, done.stdout
