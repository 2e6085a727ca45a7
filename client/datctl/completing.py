"""What could stand where the cursor is: words of the grammar, and names that the daemon knows.

A shell starts this at each Tab, so it loads nothing but small parts of the standard library, asks
the daemon at most two questions, and says nothing at all when something is wrong.
"""

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from datctl.endpoint import Endpoint, find_endpoint

# Set by the script of the shell.
GRAMMAR = "DATCTL_GRAMMAR"
# Whoever presses Tab does not wait longer; a daemon of this host answers in milliseconds.
PATIENCE = 1.0
# More than a person chooses from; the daemon would page what is more.
MAX_CANDIDATES = 1_000
_MAX_ANSWER = 16 * 2**20
_NETWORKS = ("mdns", "dns", "dht", "all", "none")

Candidate = tuple[str, str]
"""A word, and what it is."""


def main(arguments: Sequence[str]) -> int:
    """Print what may stand in place of the last word, a line each: word, tab, what it is.

    The first line says what the shell does: `words`, or `files` or `folders`, of this host.

    Args:
        arguments: The words of the command line up to the cursor, without `datctl`.
    """
    try:
        grammar = json.loads(os.environ[GRAMMAR])
        how, found = complete(grammar, list(arguments), Daemon(arguments, os.environ))
    except Exception:
        return 1  # a fault must not be printed into what somebody types
    # T-47: a name that would steer the terminal has to be typed by whoever wants it.
    lines = [f"{word}\t{_one_line(what)}" for word, what in found if word.isprintable()]
    sys.stdout.buffer.write("\n".join([how, *lines, ""]).encode("utf-8", "replace"))
    return 0


def complete(
    grammar: dict[str, Any], words: list[str], daemon: "Daemon"
) -> tuple[str, list[Candidate]]:
    """What may stand in place of the last of the words.

    Returns:
        "words", "files" or "folders", and words with what they are.
    """
    *before, word = words or [""]
    verb, takes, options, given = "", "", grammar[""]["options"], 0
    pending: Any = None
    literal = False
    for token in before:
        entry = grammar[verb]
        if pending is not None:
            pending = None
        elif token == "--" and not literal:
            literal = True
        elif token.startswith("-") and len(token) > 1 and not literal:
            if "=" not in token:
                pending = options.get(token)
        elif given == 0 and token in entry["verbs"]:
            verb = f"{verb} {token}".strip()
            options = {**grammar[verb]["options"]}
        else:
            given += 1
    entry = grammar[verb]
    if pending is not None:
        return _values(pending, word, before, grammar, daemon)
    if word.startswith("-") and not literal:
        name, equals, value = word.partition("=")
        if equals and options.get(name) is not None:
            how, found = _values(options[name], value, before, grammar, daemon)
            return how, [(f"{name}={one}", what) for one, what in found]
        return "words", _starting(((one, "") for one in sorted(options)), word)
    found = []
    if given == 0 and entry["verbs"]:
        found = _starting(entry["verbs"].items(), word)
    behind = entry.get("takes", [])
    if given < len(behind) or (behind and entry["more"]):
        takes = behind[min(given, len(behind) - 1)]
        how, others = _values(takes, word, before, grammar, daemon)
        return how, [*found, *others]
    return "words", found


def _values(
    kind: Any, word: str, before: list[str], grammar: dict[str, Any], daemon: "Daemon"
) -> tuple[str, list[Candidate]]:
    if isinstance(kind, list):
        return "words", _starting(((one, "") for one in kind), word)
    match kind:
        case "file":
            return "files", []
        case "folder":
            return "folders", []
        case "network":
            return "words", _starting(((one, "") for one in _NETWORKS), word)
        case "verb":
            path = " ".join(before[1:])
            verbs = grammar[path]["verbs"] if path in grammar else {}
            return "words", _starting(verbs.items(), word)
        case "archive":
            return "words", daemon.archives(word)
        case "place":
            return "words", daemon.places(word)
        case "tag":
            return "words", _starting(((one, "") for one in daemon.tags()), word)
        case "job":
            return "words", _starting(daemon.jobs(), word)
        case "version":
            return "words", _starting(daemon.versions(before), word)
        case _:
            return "words", []


def _starting(candidates: Iterable[Candidate], word: str) -> list[Candidate]:
    return [one for one in candidates if one[0].startswith(word)][:MAX_CANDIDATES]


class Daemon:
    """The daemon that the command line is for, asked for names; it may be away."""

    def __init__(self, words: Sequence[str], env: "os._Environ[str] | dict[str, str]") -> None:
        self._words = words
        self._env = env
        self._endpoint: Endpoint | None = None

    def archives(self, word: str) -> list[Candidate]:
        """Names that begin so, or keys; keys only where somebody began to write one."""
        found = []
        prefix = word.removeprefix("dat://")
        scheme = word.removesuffix(prefix)
        for archive in self._archives():
            name, key = archive.get("name"), str(archive.get("key", ""))
            if name and not scheme and str(name).startswith(prefix):
                found.append((str(name), _one_line(archive.get("title")) or key[:12]))
            elif key.startswith(prefix.lower()) and (prefix or not name):
                whole = scheme or len(prefix) > 12
                title = _one_line(name or archive.get("title"))
                found.append((scheme + (key if whole else key[:12]), title))
        return found[:MAX_CANDIDATES]

    def places(self, word: str) -> list[Candidate]:
        """Archives, and behind a slash their files and folders; folders end in a slash."""
        scheme = "dat://" if word.startswith("dat://") else ""
        archive, slash, path = word.removeprefix(scheme).partition("/")
        if not slash:
            return [(f"{name}/", what) for name, what in self.archives(word)]
        key, _, version = archive.partition("+")
        folder, _, begun = path.rpartition("/")
        folder = f"{folder}/" if folder else ""
        # What is here is completed; nobody is asked for a folder that was never looked at.
        query = f"wait=0&limit={MAX_CANDIDATES}" + (f"&version={quote(version)}" if version else "")
        where = f"/archives/{quote(key, safe='')}/files/{quote(folder)}?{query}"
        base = "/" + folder
        found = []
        for entry in self._get(where).get("entries", []):
            name = str(entry["path"]).removeprefix(base)
            if name.startswith(begun):
                end = "/" if entry["kind"] == "directory" else ""
                found.append((f"{scheme}{archive}/{folder}{name}{end}", ""))
        return found

    def tags(self) -> list[str]:
        """All tags that archives have."""
        return sorted({str(tag) for archive in self._archives() for tag in archive.get("tags", [])})

    def jobs(self) -> list[Candidate]:
        """Ids of jobs, those that run first."""
        jobs = self._get("/jobs").get("jobs", [])
        jobs = sorted(jobs, key=lambda job: job["state"] != "running")
        return [(str(job["id"]), f"{job['kind']}, {job['state']}") for job in jobs]

    def versions(self, before: Sequence[str]) -> list[Candidate]:
        """Names given to versions of the archive that is named on the line."""
        for archive in self._archives():
            names = {archive.get("name"), archive.get("key"), str(archive.get("key"))[:12]}
            if any(token.removeprefix("dat://").split("/")[0] in names for token in before):
                tagged = dict(archive.get("version_tags", {}))
                return [(name, f"version {number}") for name, number in tagged.items()]
        return []

    def _archives(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(f"/archives?limit={MAX_CANDIDATES}").get(
            "archives", []
        )
        return found

    def _get(self, path: str) -> dict[str, Any]:
        endpoint = self._endpoint
        if endpoint is None:
            api, token = _option(self._words, "--api"), _option(self._words, "--token")
            endpoint = self._endpoint = find_endpoint(api, token, self._env)
        headers = {"Accept-Encoding": "identity"}
        if endpoint.token:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        connection = _connection(endpoint)
        try:
            connection.request("GET", "/api/v1" + path, headers=headers)
            answer = connection.getresponse()
            document = json.loads(answer.read(_MAX_ANSWER))
            return document if answer.status == 200 and isinstance(document, dict) else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}  # away, or another program: words that need no daemon are completed
        finally:
            connection.close()


def _connection(endpoint: Endpoint) -> http.client.HTTPConnection:
    if endpoint.socket_path is not None:
        return _UnixConnection(endpoint.socket_path)
    parts = urlsplit(endpoint.base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.netloc, timeout=PATIENCE)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def _option(words: Sequence[str], name: str) -> str | None:
    for place, word in enumerate(words):
        if word == name and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None


def _one_line(text: object) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in str(text or "")).split())
