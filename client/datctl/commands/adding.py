"""The verb that hosts other people's archives: add, one or a whole list."""

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

from datctl import output
from datctl.commands import asking, waiting, wording
from datctl.commands.options import DaemonOption, JsonOption, chosen_networks
from datctl.errors import ApiError, DatdError, NoDaemon, Unauthorized, UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.lists import Listed

# Names are looked up while they are added, which takes seconds where nobody answers.
AT_ONCE = 8
# A link takes a hundred bytes; who names a film gets no film.
MAX_LIST = 64 * 2**20
# Each takes a kilobyte here until all are done; no seeder hosts more.
MAX_LINKS = 100_000


class _Result(NamedTuple):
    """What became of one link of a list: "added", "hosted" already, or "failed"."""

    item: "Listed"
    result: str
    key: str | None
    error: str | None

    def document(self) -> dict[str, str | None]:
        return {
            "where": self.item.where, "link": self.item.link, "result": self.result,
            "key": self.key, "error": self.error,
        }  # fmt: skip


async def add(
    link: Annotated[
        str | None,
        Parameter(
            help="Any form of a Dat link, with a key or with a name such as example.org; "
            "dat://KEY+N pins version N."
        ),
    ] = None,
    /,
    *,
    from_: Annotated[
        Path | None,
        Parameter(
            name="--from",
            allow_leading_hyphen=True,
            help="Add all links of a list: a text file with one on each line, urls.json of "
            "dat-store, .homebase.yml of homebase, or the output of datctl list --json; - for "
            "standard input. The other options hold for each of them.",
        ),
    ] = None,
    name: Annotated[str | None, Parameter(help="Call it by this name.")] = None,
    tag: Annotated[
        tuple[str, ...],
        Parameter(negative=(), show_default=False, help="Find it by this word. May be repeated."),
    ] = (),
    mode: Annotated[
        Literal["archive", "latest", "sparse"],
        Parameter(
            help="What to keep: every version (archive), the newest version of each file (latest), "
            "or only what is read or matches --include (sparse)."
        ),
    ] = "archive",
    include: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            allow_leading_hyphen=True,
            help="With --mode sparse: fetch what matches this pattern, without being asked for it. "
            "May be repeated; datctl mode --help explains patterns.",
        ),
    ] = (),
    peer: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(), show_default=False, help="HOST:PORT to fetch from. May be repeated."
        ),
    ] = (),
    web: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            help="https://HOST/FOLDER/ where it lies on a web server (with its .dat folder), or "
            "wss://HOST/PATH that replicates it. May be repeated.",
        ),
    ] = (),
    network: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            help="Look for peers, and be found, only on this one: mdns (the local network learns "
            "that somebody here wants the archive), dns (the discovery servers of the daemon learn "
            "it, and tell whoever asks), dht (the whole world can learn it), none. Repeatable.",
        ),
    ] = (),
    domain: Annotated[
        str | None,
        Parameter(
            help="Whoever asks for https://DOMAIN/.well-known/dat gets the link: this makes the "
            "archive public."
        ),
    ] = None,
    paused: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Fetch and serve nothing yet.")
    ] = False,
    wait: Annotated[
        float | None,
        Parameter(help="Wait until it is complete, at most so many seconds if a number follows."),
    ] = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Host an archive, or a list of them: fetch it, keep it up to date and serve it to others.

    **Examples**

    - `datctl add dat://KEY --name recipes --tag kitchen`
    - `datctl add KEY --wait 600` (exit status 5 if it is not complete after ten minutes)
    - `datctl add KEY --peer 192.0.2.7:3282` (a source that need not be found)
    - `datctl add KEY --web https://example.org/recipes/ --network none` (only from there)
    - `datctl add KEY --network mdns --network dns` (not in the DHT)
    - `datctl add KEY --mode latest` (old versions are not kept)
    - `datctl add KEY --mode sparse --include '/2019/**'` (only that folder)
    - `datctl add --from links.txt --tag library` (exit status 1 if one of them failed)
    - `datctl add --from ~/.local/share/dat-store-nodejs/urls.json`
    - `datctl add --from ~/.homebase.yml`
    """
    if (link is None) == (from_ is None):
        raise UsageError("name a link, or a list of them with --from")
    if include and mode != "sparse":
        raise UsageError("--include goes with --mode sparse")
    if wait is not None and (paused or math.isnan(wait) or wait < 0):
        raise UsageError("--wait needs seconds from 0 on, and an archive that is not --paused")
    settings: dict[str, Any] = {
        "tags": tag, "mode": mode, "include": include or None, "peers": peer,
        "networks": chosen_networks(network), "web_sources": web, "paused": paused,
    }  # fmt: skip
    if from_ is not None:
        if name is not None or domain is not None or wait is not None:
            raise UsageError("--name, --domain and --wait are for one archive, not for a list")
        await _add_list(daemon.client(), from_, settings, json=json)
    elif link is not None:
        settings |= {"name": name, "domain": domain}
        await _add_one(daemon.client(), link, settings, wait, json=json)


async def _add_one(
    client: "Client", link: str, settings: Mapping[str, Any], wait: float | None, *, json: bool
) -> None:
    async with client as dat:
        archive, new = await dat.add(link, **settings)
        if not json:
            output.say(f"{'added' if new else 'hosted already:'} {archive.link}")
        if archive.stale:
            output.note("the name could not be looked up just now: this is what it meant earlier")
        if wait is not None:
            archive = await waiting.complete(dat, archive.key, wait)
            if not json:
                output.say(f"complete: {wording.amount(archive)}, version {archive.version}")
        if json:
            output.print_json(archive)


async def _add_list(
    client: "Client", place: Path, settings: Mapping[str, Any], *, json: bool
) -> None:
    from datctl.lists import read_list

    items = read_list(_text_of(place))
    if len(items) > MAX_LINKS:
        raise UsageError(f"{place} has more than {MAX_LINKS} links: split it into several lists")
    turns = asyncio.Semaphore(AT_ONCE)
    try:
        async with client as dat, asyncio.TaskGroup() as group:
            tasks = [group.create_task(_listed(dat, item, settings, turns)) for item in items]
    except ExceptionGroup as group_error:
        # What is wrong with the daemon, and not with one link, is told once.
        raise group_error.exceptions[0] from None
    results = [task.result() for task in tasks]
    failed = [result for result in results if result.result == "failed"]
    if json:
        output.print_document([result.document() for result in results])
    else:
        _print_results(results)
    if failed:
        raise DatdError(
            f"{len(failed)} of {output.count_text(len(results), 'link')} could not be added"
        )


async def _listed(
    dat: "Client", item: "Listed", settings: Mapping[str, Any], turns: asyncio.Semaphore
) -> _Result:
    async with turns:
        refusal = _refusal(item.link)
        if refusal is not None:
            return _Result(item, "failed", None, refusal)
        try:
            own = {"name": item.name, "tags": [*settings["tags"], *item.tags]}
            archive, new = await dat.add(item.link, **{**settings, **own})
            return _Result(item, "added" if new else "hosted", archive.key, None)
        except (NoDaemon, Unauthorized):
            raise
        except DatdError as error:
            key = await _key_of_hosted(dat, item.link) if isinstance(error, ApiError) else None
            if key is None:
                return _Result(item, "failed", None, str(error))
            return _Result(item, "hosted", key, None)


async def _key_of_hosted(dat: "Client", link: str) -> str | None:
    """The key of what a list names, if somebody wanted it before, with other settings perhaps.

    What only the gateway fetched nobody wanted: to add it is what makes it whole, so it is asked
    for first, and a refusal of that is a failure.
    """
    try:
        known = await dat.archive(link)
    except (NoDaemon, Unauthorized):
        raise
    except DatdError:
        return None
    return None if (known.mode, known.tags) == ("sparse", ["gateway"]) else known.key


def _refusal(link: str) -> str | None:
    """Why something that other seeders list is no archive of ours."""
    if link.startswith("hyper:"):
        return "a hyper:// link is of a later protocol, which datd does not speak"
    if link.startswith(("/", "~", ".")):
        return f"a folder is taken over with: datctl adopt {link}"
    return None


def _text_of(place: Path) -> str:
    try:
        if str(place) == "-":
            with asking.interruptible():
                data = sys.stdin.buffer.read(MAX_LIST + 1)
        else:
            with place.expanduser().open("rb") as file:
                data = file.read(MAX_LIST + 1)
        if len(data) > MAX_LIST:
            raise UsageError(f"{place} has more than {MAX_LIST} bytes: that is no list of links")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is no list of links: it is not UTF-8 text") from error


def _print_results(results: Sequence[_Result]) -> None:
    styles = {"added": "green", "failed": "red"}
    output.print_table(
        ("LINK", "RESULT", "REMARK"),
        [
            (
                result.item.link,
                (result.result, styles.get(result.result, "")),
                f"{result.item.where}: {result.error}" if result.error else result.item.name or "",
            )
            for result in results
        ],
        empty="the list has no links",
    )
    counts = [
        f"{count} {what}"
        for what, told in (("added", "added"), ("hosted already", "hosted"), ("failed", "failed"))
        if (count := sum(result.result == told for result in results))
    ]
    if counts:
        output.note(", ".join(counts))
