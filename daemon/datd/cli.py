"""The command `datd`: arguments, logging, exit status."""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datd import __version__, config
from datd.config import Config
from datd.daemon import Daemon
from datd.errors import ConfigError, DatdError, NewerFormat

EXIT_FAILED = 1
EXIT_CONFIG = 78

log = logging.getLogger(__name__)

_EXAMPLES = """
examples:
  datd                                   start with the usual settings, in the foreground
  datd --data-dir /srv/dat --port 3282   keep everything in /srv/dat
  DATD_API__PORT=4000 datd               any setting can come from the environment

Then, in another terminal: datctl add dat://KEY
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon. Returns its exit status: 0 ended as asked, 1 failed, 78 wrong settings."""
    given = _parser().parse_args(arguments)
    try:
        settings = config.load(given.config, _overrides(given))
    except ConfigError as error:
        return _fail(error, EXIT_CONFIG)
    _set_up_logging(settings)

    def reload() -> None:
        try:
            fresh = config.load(given.config, _overrides(given))
        except ConfigError as error:
            log.error("settings are kept as they were: %s", error)
            return
        _set_up_logging(fresh)
        log.info("logging was set anew; other settings change with a restart")

    try:
        with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
            runner.run(Daemon(settings).run(on_reload=reload))
    except (BaseExceptionGroup, DatdError, OSError) as error:
        return _failed(error)
    return 0


def _failed(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConfigError | NewerFormat):  # C-20
        return _fail(error, EXIT_CONFIG)
    if isinstance(error, DatdError | OSError):
        return _fail(error, EXIT_FAILED)
    raise error


def _fail(error: Exception, status: int) -> int:
    # The number of an error says nothing to people.
    reason = error.strerror if isinstance(error, OSError) and not error.filename else None
    sys.stderr.write(f"datd: {reason or error}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datd",
        description="Keep Dat archives alive: mirror them, and serve them to whoever asks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, a TOML file")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where everything is kept")
    parser.add_argument("--port", type=int, help="TCP port for peers (3282)")
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on for peers (all)")
    parser.add_argument("--api-host", metavar="ADDRESS", help="address of the API (127.0.0.1)")
    parser.add_argument("--api-port", type=int, metavar="PORT", help="port of the API (3472)")
    parser.add_argument("--api-socket", type=Path, metavar="PATH", help="Unix socket of the API")
    parser.add_argument(
        "--no-mdns", action="store_true", help="do not look for peers on the local network"
    )
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--log-format", choices=["text", "json"])
    parser.add_argument("--version", action="version", version=f"datd {__version__}")
    return parser


def _overrides(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "data_dir": given.data_dir,
        "swarm": {
            "host": given.host,
            "port": given.port,
            "mdns": False if given.no_mdns else None,
        },
        "api": {"host": given.api_host, "port": given.api_port, "socket": given.api_socket},
        "log": {"level": given.log_level, "format": given.log_format},
    }


def _loop_factory(settings: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if settings.event_loop == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if settings.event_loop == "uvloop":
            raise ConfigError("event_loop = uvloop, but uvloop is not installed") from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _set_up_logging(settings: Config) -> None:
    handler = logging.StreamHandler()
    if settings.log.format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log.level.upper())
    # Each request of a program would be a line; the API has statistics for that.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
