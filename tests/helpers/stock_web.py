"""A stock web server over a folder: nginx, as any host has it, with nothing set but the folder."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.pieces import missing
from tests.helpers.reference import HERE, PATIENCE, Program, Where

_SETTINGS = """
daemon off; pid {own}/pid; error_log stderr; user root; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log {own}/access.log;
    client_body_temp_path {own}; proxy_temp_path {own}; fastcgi_temp_path {own};
    uwsgi_temp_path {own}; scgi_temp_path {own};
    server {{ listen {port}; root {folder}; }}
}}
"""


@contextmanager
def stock_web(folder: Path, own: Path, port: int, where: Where = HERE) -> Iterator[str]:
    """Serve a folder for the time of a `with`; gives its address.

    Args:
        folder: What is served.
        own: A folder for the server's own files.
        port: Where it listens.
        where: On which host.
    """
    if shutil.which("nginx") is None:
        missing("no stock web server is here: apt-get install nginx-light")
    own.mkdir()
    settings = own / "nginx.conf"
    settings.write_text(_SETTINGS.format(own=own, port=port, folder=folder))
    with Program.start(where.words(["nginx", "-c", str(settings)]), "nginx") as nginx:
        deadline = time.monotonic() + PATIENCE
        while not (own / "pid").exists():  # written once it listens
            assert time.monotonic() < deadline, nginx.events
            time.sleep(0.02)
        yield f"http://{where.address}:{port}/"


def asked(own: Path) -> list[str]:
    """What was asked of it so far, a line each."""
    return (own / "access.log").read_text().splitlines()
