"""Archives and folders that mean harm: nothing is written outside, none of our files is touched."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.adopted import Foreign, adopt, foreign
from tests.helpers.feeds import content_of
from tests.helpers.libraries import Source, node, read, story, until
from tests.helpers.network import MemoryNetwork
from tests.helpers.own_archives import new_archive, put

from datd.archive.writer import ArchiveWriter
from datd.errors import FolderRefused
from datd.keys import Key


def everything(folder: Path) -> dict[str, Any]:
    """What lies below a folder: bytes of files, targets of links."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def empty_clone(folder: Path, key: Key) -> Path:
    """What `dat clone` leaves that never met a peer, as far as it matters: the key."""
    (folder / ".dat").mkdir(parents=True)
    (folder / ".dat/metadata.key").write_bytes(key.raw)
    return folder


def hostile_vector(folder: Path) -> tuple[Foreign, dict[str, str]]:
    """The hostile names that the original wrote, and the hash of each file's content."""
    made = foreign("archival-hostile-names", folder)
    hashes = {number: digest for number, *_, digest in made.expected["history"]}
    listed = made.expected["listings"][str(made.expected["version"])]
    return made, {name: hashes[number] for name, number in listed}


def test_t44_every_hostile_name_stays_readable_and_none_reaches_the_disk(tmp_path: Path):
    async def told() -> None:
        network = MemoryNetwork()
        made, files = hostile_vector(tmp_path / "store")
        async with (
            node(network, tmp_path / "a/data") as seeder,
            node(network, tmp_path / "b/data", "10.0.0.2") as mirror,
        ):
            shutil.copytree(tmp_path / "store", tmp_path / "a/own")
            await adopt(seeder, tmp_path / "a/own")
            folder = empty_clone(tmp_path / "b/shared", made.key)
            (tmp_path / "b/up.txt").write_bytes(b"outside")
            before = everything(tmp_path / "b")
            archive = await adopt(mirror, folder, peers=[seeder.address])
            await until(lambda: archive.state == "seeding", 60)
            read_back = 0
            for name, digest in files.items():
                try:
                    found = await read(archive, name)
                except Exception:  # names that no path of ours means, such as /../up.txt
                    continue
                assert hashlib.sha256(found).hexdigest() == digest, name
                read_back += 1
            assert read_back >= 7
            await mirror.library.tidy(close=True)
            after = everything(tmp_path / "b")
            new = {name for name in after if name not in before and not name.startswith("data/")}
            changed = {name for name in before if after.get(name) != before[name]}
            assert not {name for name in changed if not name.startswith("data/")}
            plain = {name for name in new if not name.startswith("shared/.dat/")}
            # A file and a folder of one name: who came first is there.
            assert plain <= {"shared/ok.txt", "shared/dir", "shared/dir/file", "shared/C:\\x"}
            assert "shared/ok.txt" in plain
            states = {name for name in new if name.startswith("shared/.dat/")}
            ours = ("key", "tree", "signatures", "bitfield", "data")
            assert states <= {
                *(
                    f"shared/.dat/{feed}.{file}"
                    for feed in ("metadata", "content")
                    for file in ours
                ),
                "shared/.dat/metadata.latest",
            }
            assert (folder / ".dat/metadata.latest").read_bytes() == (11).to_bytes(8, "big")

    story(told())


NAMES = [
    "/.dat/metadata.latest",
    "/.DAT/metadata.key",
    "/.Dat/content.bitfield",
    "/.datd/x",
    "/.dat",
    "/link/stolen",
    "/file-link",
    "/z" * 300 + "/too-long" * 500,
    "/" + "y" * 256,
    "/new\nline",
    "/folder",
    "/folder/below",
    "/good.txt",
]


def hostile_source() -> tuple[Source, dict[str, bytes]]:
    """An archive of files that no honest author would name so."""
    archive = new_archive()
    writer = ArchiveWriter(archive)
    files = {name: f"content of {name}".encode() * 3 for name in NAMES}
    for name, body in files.items():
        put(writer, name, body)
    writer.commit()
    return Source(archive.metadata, content_of(archive), {}), files


def test_t44_links_and_our_own_files_are_no_way_out(tmp_path: Path):
    async def told() -> None:
        network = MemoryNetwork()
        made, files = hostile_source()
        outside = tmp_path / "b/outside"
        outside.mkdir(parents=True)
        (outside / "precious").write_bytes(b"precious")
        async with (
            node(network, tmp_path / "a/data") as seeder,
            node(network, tmp_path / "b/data", "10.0.0.2") as mirror,
        ):
            made.plant(seeder)
            await seeder.seeding(made.key)
            folder = empty_clone(tmp_path / "b/shared", made.key)
            (folder / "link").symlink_to(outside)
            (folder / "file-link").symlink_to(outside / "precious")
            archive = await adopt(mirror, folder, peers=[seeder.address])
            await until(lambda: archive.state == "seeding", 60)
            for name, body in files.items():
                assert await read(archive, name) == body, name
            assert everything(outside) == {"precious": b"precious"}
            assert (folder / ".dat/metadata.key").read_bytes() == made.key.raw
            assert (folder / "good.txt").read_bytes() == files["/good.txt"]
            assert os.readlink(folder / "link") == str(outside)
            assert not (folder / ".datd").exists()
        # What lies aside is found again after a restart.
        async with node(network, tmp_path / "b/data", "10.0.0.2") as again:
            (archive,) = again.library.archives()
            assert await read(archive, "/link/stolen") == files["/link/stolen"]

    story(told())


@pytest.mark.parametrize("kind", ["file", "folder", "hard", "pipe"])
def test_t44_a_folder_whose_files_are_others_is_refused(tmp_path: Path, kind: str):
    async def told() -> None:
        made = foreign("cli-clone", tmp_path / "made")
        target = tmp_path / "precious"
        target.write_bytes(b"precious")
        bits = made.folder / ".dat/content.bitfield"
        if kind == "folder":
            (made.folder / ".dat").rename(tmp_path / "elsewhere")
            (made.folder / ".dat").symlink_to(tmp_path / "elsewhere")
        else:
            bits.unlink()
            {
                "file": lambda: bits.symlink_to(target),
                "hard": lambda: bits.hardlink_to(target),
                "pipe": lambda: os.mkfifo(bits),
            }[kind]()
        before = everything(tmp_path / "made")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            with pytest.raises(FolderRefused, match=r"link|plain"):
                await adopt(owner, made.folder)
            assert not owner.library.archives()
        assert target.read_bytes() == b"precious"
        assert everything(tmp_path / "made") == before

    story(told())
