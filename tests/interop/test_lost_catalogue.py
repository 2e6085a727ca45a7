"""C-19: what was found again after the catalogue was lost is served to the original."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.helpers.daemon import running_daemon
from tests.helpers.folders import becomes, hashes_in, make_varied_folder
from tests.helpers.lab import Lab
from tests.helpers.reference import Reference, Where
from tests.helpers.writing import Writer


def test_c19_dat_clones_an_archive_whose_catalogue_was_lost(
    reference: Reference, lan: Callable[[int], Lab], tmp_path: Path
):
    make_varied_folder(tmp_path / "site", small_files=10)
    (tmp_path / "site/empty").unlink()  # the original never makes files without a byte
    lab, socket = lan(2), tmp_path / "api.sock"
    environment = {"DATD_API__SOCKET": str(socket), "DATD_IMPORT_ROOTS": str(tmp_path)}
    start = partial(
        running_daemon,
        tmp_path / "datd",
        prefix=lab.prefix("h1"),
        environment=environment,
        mdns=True,
    )
    with start() as daemon:
        writer = Writer(daemon, socket)
        made = writer.done("POST", "/archives", {"folder": str(tmp_path / "site")})
        writer.ended(made["job"])
        assert daemon.stop() == 0
    (tmp_path / "datd/catalogue.sqlite3").unlink()
    with start() as daemon:
        Writer(daemon, socket).done("POST", f"/archives/{made['key']}/resume")
        reference.dat_clone(made["key"], tmp_path / "clone", where=Where(lab, "h2"))
        becomes(tmp_path / "clone", hashes_in(tmp_path / "site"))
