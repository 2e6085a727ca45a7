"""Where the daemon of this host answers, and the token it asks for. Reads files, opens no page."""

import ipaddress
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from datctl.errors import UsageError

DEFAULT_API = "http://127.0.0.1:3472"
# A token is 43 characters; who points us at a film gets no film.
_MAX_TOKEN_FILE = 4_096


class Endpoint(NamedTuple):
    """How to reach a daemon.

    Attributes:
        base_url: Scheme, host and port, without a slash at the end.
        socket_path: Unix socket, if it is one.
        token: What to send along, if anything.
        hint: Why no token was found, for the message that it is missing.
    """

    base_url: str
    socket_path: str | None = None
    token: str | None = None
    hint: str = ""

    def __repr__(self) -> str:
        # Of a log or a traceback, a token is no part.
        return f"<Endpoint {self.shown}>"

    @property
    def shown(self) -> str:
        """The address for people."""
        return self.socket_path or self.base_url


def find_endpoint(api: str | None, token: str | None, env: Mapping[str, str]) -> Endpoint:
    """Choose the daemon to talk to.

    Args:
        api: `http://HOST:PORT`, `unix:///PATH`, or None: `$DATD_API`, else a Unix socket on which a
            daemon listens, else the usual port of this host.
        token: None: `$DATD_TOKEN`, else the file `api.token` of a daemon on this host.
        env: The environment.

    Raises:
        UsageError: The address is none.
    """
    api = api or env.get("DATD_API") or None
    token = token or env.get("DATD_TOKEN") or None
    if api is None:
        for path in socket_paths(env):
            if answers(path):
                return Endpoint("http://localhost", path, token)
        api = DEFAULT_API
    if api.startswith("unix:"):
        path = api.removeprefix("unix:")
        return Endpoint("http://localhost", "/" + path.lstrip("/"), token)
    parts = _split(api)
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api/v1')}"
    # The token of this host's daemon is no business of another host.
    if token is None and _is_loopback(parts.hostname or ""):
        token, hint = _stored_token(env)
        return Endpoint(base, None, token, hint)
    return Endpoint(base, None, token)


def _split(api: str) -> SplitResult:
    unusable = UsageError(
        f"{api!r} is not the address of an API: expected http://HOST:PORT or unix:///PATH"
    )
    try:
        parts = urlsplit(api)
        named = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        raise unusable from None
    if not named or parts.query or parts.fragment or parts.username:
        raise unusable
    return parts


def socket_paths(env: Mapping[str, str]) -> Iterator[str]:
    """Where a daemon of this host may listen, the user's own first."""
    if env.get("XDG_RUNTIME_DIR"):
        yield f"{env['XDG_RUNTIME_DIR']}/datd/api.sock"
    yield "/run/datd/api.sock"


def answers(path: str) -> bool:
    """Whether a daemon listens; the file of one that was killed stays behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def data_dirs(env: Mapping[str, str]) -> Iterator[Path]:
    """Where a daemon of this host may keep its data."""
    if env.get("DATD_DATA_DIR"):
        yield Path(env["DATD_DATA_DIR"]).expanduser()
        return
    home = env.get("XDG_DATA_HOME") or (env.get("HOME", "~") + "/.local/share")
    yield Path(home, "datd").expanduser()
    yield Path("/var/lib/datd")


def _stored_token(env: Mapping[str, str]) -> tuple[str | None, str]:
    """The token file of a daemon on this host, and why there is none."""
    reasons = []
    for folder in data_dirs(env):
        path = folder / "api.token"
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(_MAX_TOKEN_FILE)
        except FileNotFoundError:
            continue
        except OSError as error:
            reasons.append(f"{path}: {error.strerror}")
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):  # T-50
            reasons.append(f"{path} can be read by others and is not used: chmod 600 {path}")
            continue
        return data.decode("ascii", "replace").strip(), ""
    return None, "; ".join(reasons)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
