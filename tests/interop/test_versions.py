"""The past of archives, as our API and the original tell it."""

import posixpath
from typing import Any

from tests.helpers.api import running_api
from tests.helpers.reference import Reference

NAMES = ["archival-history", "archival-nested", "archival-wide", "archival-hostile-names"]
MOST = "limit=1000"


def as_pairs(changes: list[dict[str, Any]]) -> dict[str, str]:
    """What the original calls a deletion and a put of one path is a change of it."""
    kinds: dict[str, set[str]] = {}
    for change in changes:
        kinds.setdefault(change["path"], set()).add(change["type"])
    names = {("del", "put"): "changed", ("put",): "added", ("del",): "removed"}
    return {path: names[tuple(sorted(kind))] for path, kind in kinds.items()}


def left_out(history: list[dict[str, Any]]) -> set[str]:
    """Names that no path can mean, and paths that were a file and a folder (at once, perhaps).

    Each side has its own way with the former; of the latter the original does not tell the truth.
    """
    stored = {change["path"] for change in history}
    odd = {name for name in stored if posixpath.normpath(name) != name}
    both = {name for name in stored if any(other.startswith(f"{name}/") for other in stored)}
    return odd | both


async def test_history_and_differences_are_those_the_original_tells(tmp_path, reference: Reference):
    async with running_api(tmp_path) as api:
        hosted = [await api.host(name) for name in NAMES]
        folders = {}
        for one in hosted:
            name = str(one.key.discovery_key)
            folders[str(api.folder / "archives" / name[:2] / name[2:])] = one
        program = reference.start("tell-versions.js", *folders)
        assert program.wait_for_end(timeout=300) == 0, program.events
        assert len(program.said("told")) == len(NAMES)
        for folder, one in folders.items():
            (told,) = program.said("history", folder=folder)
            ours = (await api.ask(f"{one.path}/history?{MOST}")).json
            assert ours["version"] == told["version"] > 0
            kinds = {"put": "put", "delete": "del"}
            seen = [(c["version"], kinds[c["type"]], c["path"], c["size"]) for c in ours["changes"]]
            assert seen == [
                (c["version"], c["type"], c["path"], c["size"]) for c in told["changes"]
            ]
            odd = left_out(told["changes"])
            for difference in program.said("diff", folder=folder):
                versions = f"from={difference['from']}&to={difference['to']}"
                found = (await api.ask(f"{one.path}/diff?{versions}&{MOST}")).json
                changes = {change["path"]: change["type"] for change in found["changes"]}
                wanted = as_pairs(difference["changes"])
                for path in odd:
                    changes.pop(path, None)
                    wanted.pop(path, None)
                assert changes == wanted, (folder, versions)
