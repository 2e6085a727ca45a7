"""What we publish the original clones, after each step of writing."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.helpers.daemon import running_daemon
from tests.helpers.folders import becomes, hashes_in, make_varied_folder
from tests.helpers.lab import Lab
from tests.helpers.reference import Reference, Where
from tests.helpers.writing import Writer


def test_dat_clones_what_we_wrote_at_every_step(
    reference: Reference, lan: Callable[[int], Lab], tmp_path: Path
):
    make_varied_folder(tmp_path / "site", small_files=40)
    (tmp_path / "site/empty").unlink()  # the original never makes files without a byte
    lab = lan(2)
    socket = tmp_path / "api.sock"
    environment = {"DATD_API__SOCKET": str(socket), "DATD_IMPORT_ROOTS": str(tmp_path)}
    wanted: dict[str, bytes] = {}
    count = 0

    def is_cloned(key: str, files: dict[str, str]) -> None:
        nonlocal count
        count += 1
        folder = tmp_path / f"clone-{count}"
        program = reference.dat_clone(key, folder, where=Where(lab, "h2"))
        becomes(folder, files)
        program.stop()

    with running_daemon(
        tmp_path / "datd", prefix=lab.prefix("h1"), mdns=True, environment=environment
    ) as daemon:
        writer = Writer(daemon, socket)

        def is_whole(key: str) -> None:
            title = daemon.datctl("cat", f"{key}/dat.json").stdout
            assert f'"url": "dat://{key}"' in title
            files = {**wanted, "/dat.json": title.encode()}
            digests = {path: hashlib.sha256(body).hexdigest() for path, body in files.items()}
            is_cloned(key, digests)

        key = writer.create(new={"title": "Ours", "description": "of datd"})
        is_whole(key)
        first = {
            "/a/b/c.txt": b"deep",
            "/big.bin": bytes(range(256)) * 5000,
            "/名前/Ü.txt": b"x" * 65536,
            "/a/b/d.txt": b"more",
        }
        for path, body in first.items():
            writer.put(key, path, body)
        wanted = first
        is_whole(key)
        # As in the shortest history in which the original itself loses a file: deletions that
        # stand for a living folder (archives.md 6).
        for path in ("/b/b/c", "/b/b/a"):
            writer.put(key, path, b"kept")
        writer.remove(key, "/b/b/c")
        writer.put(key, "/b/c", b"gone")
        writer.remove(key, "/b/c")
        writer.remove(key, "/a", recursive=True)
        writer.put(key, "/big.bin", b"small now")
        wanted = {"/big.bin": b"small now", "/名前/Ü.txt": first["/名前/Ü.txt"], "/b/b/a": b"kept"}
        is_whole(key)

        for chunking in ("fixed", "content"):
            site = {"folder": str(tmp_path / "site"), "adopt": "never", "chunking": chunking}
            made = writer.done("POST", "/archives", site)
            writer.ended(made["job"])
            is_cloned(made["key"], hashes_in(tmp_path / "site"))
        fork = writer.done("POST", f"/archives/{key}/fork", {"version": 5, "title": "Fork"})
        writer.ended(fork["job"])
        wanted = first
        is_whole(fork["key"])
