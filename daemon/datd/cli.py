"""The command `datd`: arguments, logging, exit status."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from datd import __version__, config, dht_node, discovery_server
from datd.config import Config
from datd.daemon import Daemon
from datd.errors import ConfigError, DatdError, NewerFormat
from datd.settings import LogSettings

EXIT_FAILED = 1
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130  # 128 and SIGINT, as shells have it

log = logging.getLogger(__name__)


class Server(Protocol):
    """A module that is a command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its arguments."""

    async def run(self, given: argparse.Namespace) -> None:
        """Serve until asked to stop."""


_EXAMPLES = """
examples:
  datd                                   start with the usual settings, in the foreground
  datd --data-dir /srv/dat --port 3282   keep everything in /srv/dat
  DATD_API__PORT=4000 datd               any setting can come from the environment
  datd --dns-server dat.example.org      find peers through that discovery server as well
  datd discovery-server --help           be such a server for others

Then, in another terminal: datctl add dat://KEY
"""

_PRIVACY = """
Whoever is asked for the peers of an archive learns that somebody here wants it, though not its
link: multicast tells the local network; discovery servers, of which there are none unless you name
them, learn it themselves; the DHT, of which this daemon is no part unless you name first nodes,
tells the whole world.
"""

# Servers that can run beside the daemon, or without it.
_COMMANDS: dict[str, tuple[Server, str]] = {
    "discovery-server": (discovery_server, "be a discovery server, as `dat` programs ask them"),
    "dht-node": (dht_node, "be a node of a Mainline DHT, such as the first of a private one"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon. Returns its exit status: 0 ended as asked, 1 failed, 78 wrong settings."""
    given = _parser().parse_args(arguments)
    if given.command is not None:
        return _run_server(_COMMANDS[given.command][0], given)
    try:
        settings = _settings(given)
    except ConfigError as error:
        _set_up_logging(LogSettings(format=_wanted_format(given)))
        return _fail(error, EXIT_CONFIG)
    _set_up_logging(settings.log)

    def reload() -> Config | None:
        try:
            fresh = _settings(given)
        except ConfigError as error:
            log.error("settings are kept as they were: %s", error)
            return None
        _set_up_logging(fresh.log)
        log.info(
            "logging and address lists were set anew, and what `datctl settings` says can be "
            "changed; other settings change with a restart"
        )
        return fresh

    try:
        with asyncio.Runner(loop_factory=_loop_factory(settings.event_loop)) as runner:
            runner.run(Daemon(settings).run(on_reload=reload))
    except (BaseExceptionGroup, DatdError, OSError) as error:
        return _failed(error)
    except KeyboardInterrupt:  # between the end of the loop and that of the process
        return EXIT_INTERRUPTED
    return 0


def _run_server(server: Server, given: argparse.Namespace) -> int:
    _set_up_logging(LogSettings(level=given.log_level, format=given.log_format))
    try:
        with asyncio.Runner(loop_factory=_loop_factory("auto")) as runner:
            runner.run(server.run(given))
    except (BaseExceptionGroup, DatdError, OSError) as error:
        return _failed(error)
    except KeyboardInterrupt:  # between the end of the loop and that of the process
        return EXIT_INTERRUPTED
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
    text = str(reason or error)
    if any(isinstance(one.formatter, _JsonFormatter) for one in logging.getLogger().handlers):
        # Whoever reads JSON has no use for another kind of line; a high log level is no reason to
        # end without a word.
        log.critical("%s", text)
    else:
        sys.stderr.write(f"datd: {text}\n")
    return status


def _wanted_format(given: argparse.Namespace) -> Literal["text", "json"]:
    """How to say that the settings, which say how, cannot be read."""
    return "json" if "json" in (given.log_format, os.environ.get("DATD_LOG__FORMAT")) else "text"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datd",
        description="Keep Dat archives alive: mirror them, and serve them to whoever asks.",
        epilog=_PRIVACY + _EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="other servers")
    for name, (server, purpose) in _COMMANDS.items():
        command = commands.add_parser(
            name, help=purpose, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        server.add_arguments(command)
        _add_logging(command, "info", "text")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, a TOML file")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where everything is kept")
    peers = parser.add_argument_group("peers")
    peers.add_argument("--port", type=int, help="TCP and UDP port for peers (3282)")
    peers.add_argument("--host", metavar="ADDRESS", help="address to listen on for peers (all)")
    peers.add_argument("--no-tcp", action="store_true", help="speak uTP only")
    peers.add_argument("--no-utp", action="store_true", help="speak TCP only")
    peers.add_argument(
        "--upload-limit", metavar="RATE", help="bytes a second to peers, as 2MB; 0: no limit (none)"
    )
    peers.add_argument(
        "--download-limit", metavar="RATE", help="bytes a second from peers and web sources"
    )
    peers.add_argument(
        "--port-mapping", action="store_true", help="ask the router to pass the port on"
    )
    finding = parser.add_argument_group("finding peers")
    finding.add_argument("--no-mdns", action="store_true", help="not on the local network")
    finding.add_argument("--no-dns", action="store_true", help="not through discovery servers")
    finding.add_argument("--no-dht", action="store_true", help="not through the Mainline DHT")
    finding.add_argument(
        "--dns-server",
        action="append",
        metavar="HOST[:PORT]",
        help="a discovery server (port 5300, then 53); may be given again",
    )
    finding.add_argument(
        "--dht-bootstrap",
        action="append",
        metavar="HOST[:PORT]",
        help="a first node of the DHT (port 6881); may be given again",
    )
    api = parser.add_argument_group("API")
    api.add_argument("--api-host", metavar="ADDRESS", help="its address (127.0.0.1)")
    api.add_argument("--api-port", type=int, metavar="PORT", help="its port (3472)")
    api.add_argument("--api-socket", type=Path, metavar="PATH", help="its Unix socket")
    _add_logging(parser, None, None)
    parser.add_argument("--version", action="version", version=f"datd {__version__}")
    return parser


def _add_logging(parser: argparse.ArgumentParser, level: str | None, form: str | None) -> None:
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default=level)
    parser.add_argument("--log-format", choices=["text", "json"], default=form)


def _overrides(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "data_dir": given.data_dir,
        "network": {
            "upload_limit": given.upload_limit,
            "download_limit": given.download_limit,
        },
        "swarm": {
            "host": given.host,
            "port": given.port,
            "tcp": False if given.no_tcp else None,
            "utp": False if given.no_utp else None,
            "port_mapping": given.port_mapping or None,
        },
        "discovery": {"dns_servers": given.dns_server, "dht_bootstrap": given.dht_bootstrap},
        "api": {"host": given.api_host, "port": given.api_port, "socket": given.api_socket},
        "log": {"level": given.log_level, "format": given.log_format},
    }


def _settings(given: argparse.Namespace) -> Config:
    overrides = _overrides(given)
    settings = config.load(given.config, overrides)
    networks = [name for name in settings.discovery.networks if name not in _without(given)]
    if networks == settings.discovery.networks:
        return settings
    overrides["discovery"]["networks"] = networks
    return config.load(given.config, overrides)


def _without(given: argparse.Namespace) -> set[str]:
    """Networks that the command line takes away from those of the settings."""
    return {name for name in ("mdns", "dns", "dht") if getattr(given, f"no_{name}")}


def _loop_factory(wanted: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if wanted == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if wanted == "uvloop":
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


def _journal_reads() -> bool:
    """Whether standard error is systemd's journal, which notes the time of each line itself."""
    try:
        found = os.fstat(2)
    except OSError:  # it was closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _set_up_logging(wanted: LogSettings) -> None:
    handler = logging.StreamHandler()
    if wanted.format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        time = "" if _journal_reads() else "%(asctime)s "
        handler.setFormatter(logging.Formatter(f"{time}%(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(wanted.level.upper())
    # Each request of a program would be a line; the API has statistics for that.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
