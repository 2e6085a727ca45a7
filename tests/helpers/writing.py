"""Requests to a running daemon that write: files, archives of our own, jobs."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.helpers.daemon import VERB_SECONDS, RunningDaemon


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a daemon in another network, whose files are here."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=VERB_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(VERB_SECONDS)
        # Longer paths than 107 bytes do not fit into an address.
        folder = os.open(self._path.parent, os.O_PATH)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


class Writer:
    """Writes archives of one daemon."""

    def __init__(self, daemon: RunningDaemon, unix: Path | None = None) -> None:
        """Ask over TCP, or over a Unix socket."""
        self.daemon = daemon
        self._unix = unix

    def ask(
        self, method: str, path: str, body: bytes = b"", *, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """One request; gives status and decoded answer."""
        connection = (
            _UnixConnection(self._unix)
            if self._unix is not None
            else http.client.HTTPConnection(urlsplit(self.daemon.api).netloc, timeout=VERB_SECONDS)
        )
        headers = {"Authorization": f"Bearer {self.daemon.token}", "Content-Type": kind}
        try:
            connection.request(method, f"/api/v1{path}", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else None

    def done(self, method: str, path: str, document: object = None) -> Any:
        """A request that must go well."""
        body = b"" if document is None else json.dumps(document).encode()
        status, answer = self.ask(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer

    def create(self, **fields: Any) -> str:
        """A new archive of our own; gives its key."""
        return str(self.done("POST", "/archives", {"new": {}, **fields})["key"])

    def put(self, key: str, path: str, body: bytes) -> Any:
        """Write a file."""
        target = f"/archives/{key}/files{quote(path)}"
        status, answer = self.ask("PUT", target, body, kind="application/octet-stream")
        assert status in (200, 201), answer
        return answer

    def remove(self, key: str, path: str, *, recursive: bool = False) -> None:
        """Remove a file or folder."""
        query = "?recursive=true" if recursive else ""
        self.done("DELETE", f"/archives/{key}/files{quote(path)}{query}")

    def ended(self, job: str) -> Any:
        """Wait for a job; it must go well."""
        self.daemon.wait_until(
            lambda: self.done("GET", f"/jobs/{job}")["state"] != "running",
            f"the end of job {job}",
            seconds=VERB_SECONDS,
        )
        found = self.done("GET", f"/jobs/{job}")
        assert found["state"] == "done", found
        return found
