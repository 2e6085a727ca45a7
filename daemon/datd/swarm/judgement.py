"""How a dial or a talk ended, and who is to blame: the one place where peers are judged."""

import errno
import logging
import os
from collections.abc import Iterator

from datd.discovery.rates import Window
from datd.errors import (
    ForkError,
    HashesLost,
    IntegrityError,
    ProtocolError,
    StorageError,
    Timeout,
    UnknownArchive,
)
from datd.swarm.peer import Peer
from datd.swarm.peers import PeerTable
from datd.swarm.roster import Connection, Refused, Roster
from datd.words import counted

_log = logging.getLogger(__name__)

# L-28: log lines about one host in a minute.
_LINES_PER_MINUTE = 10
# So many hosts of whom lines were left out are known; a name more takes the oldest one's place.
_HOSTS_LEFT_OUT = 1000
# When several things went wrong in one talk, the first of these that is among them decides.
_GRAVITY = (
    IntegrityError,
    ProtocolError,
    StorageError,
    Refused,
    HashesLost,
    UnknownArchive,
    OSError,
    Timeout,
)
_OUR_FAULT = "a fault of this daemon; see its log"


class Judge:
    """Tells the table what each end means for the peer."""

    def __init__(self, table: PeerTable, roster: Roster) -> None:
        self._table = table
        self._roster = roster
        self._lines = Window(_LINES_PER_MINUTE, 60.0)
        self._left_out: dict[str, int] = {}

    def dial(self, peer: Peer, error: Exception, now: float) -> None:
        """A dial came to nothing."""
        refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
        # Of a peer behind a NAT that is reached by uTP, the router may refuse TCP at any time.
        refused = refused and peer.worked != "utp"
        if not isinstance(error, OSError):
            self._bug(str(peer.address), peer.address.host, error, now)
        self._table.dial_failed(peer, why(error), now, refused=refused)

    def talk(self, connection: Connection, error: Exception, now: float) -> None:
        """A talk ended with an error, or several."""
        error, peer = _gravest(error), connection.peer
        silent = connection.silent(now)
        match error:
            case UnknownArchive():
                if not connection.initiator:
                    self._roster.unknown(connection, now)
            case Refused() | HashesLost():
                pass
            case OSError() | Timeout() | StorageError():
                if peer is not None:
                    self._table.lost(peer, why(error), now, silent=silent)
            case IntegrityError():
                self._say(connection, _reason(error), now)
                if peer is not None:
                    self._blame(peer, error, now)
            case ProtocolError():
                self._say(connection, _reason(error), now)
                if peer is not None and silent:
                    # Who says nothing was cut off, more likely than not; L-3 ends the connection.
                    self._table.lost(peer, _reason(error), now, silent=True)
                elif peer is not None:
                    self._table.protocol_error(peer, _reason(error), now)
            case _:
                self._bug(str(connection.address), connection.address.host, error, now)
                if peer is not None:
                    self._table.lost(peer, _OUR_FAULT, now)

    def _blame(self, peer: Peer, error: IntegrityError, now: float) -> None:
        self._table.good_blocks(peer, len(error.stored))
        if error.signature:
            self._table.bad_signature(peer, _reason(error), now)
        elif isinstance(error, ForkError):
            # The signature is the author's: this peer passes on what it got.
            self._table.protocol_error(peer, _reason(error), now)
        else:
            self._table.bad_block(peer, error.index, _reason(error), now)

    def _say(self, connection: Connection, reason: str, now: float) -> None:
        host = connection.address.host
        if self._may_log(host, now):
            _log.info("dropped %s: %s%s", connection.address, reason, self._also(host))

    def _bug(self, what: str, host: str, error: Exception, now: float) -> None:
        if self._may_log(host, now):
            _log.error("talking with %s failed%s", what, self._also(host), exc_info=error)

    def _may_log(self, host: str, now: float) -> bool:
        if self._lines.count(host, now):
            return True
        self._left_out[host] = self._left_out.pop(host, 0) + 1
        if len(self._left_out) > _HOSTS_LEFT_OUT:
            del self._left_out[next(iter(self._left_out))]
        return False

    def _also(self, host: str) -> str:
        count = self._left_out.pop(host, 0)
        return f" ({counted(count, 'line')} about this host left out before)" if count else ""


def why(error: Exception) -> str:
    """What went wrong, for people."""
    match error:
        case OSError(errno=int() as number):
            return os.strerror(number)
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return str(error) or type(error).__name__
        case StorageError() | Timeout():
            return str(error) or type(error).__name__
        case _:
            return _OUR_FAULT


def _gravest(error: Exception) -> Exception:
    """What decides the verdict, out of all that went wrong at once. Bugs come before anything."""
    found = list(leaves(error))
    known = [one for kind in _GRAVITY for one in found if isinstance(one, kind)]
    bugs = [one for one in found if not isinstance(one, _GRAVITY)]
    return (bugs + known)[0]


def leaves(error: BaseException) -> Iterator[Exception]:
    """What an error is made of, if it is several at once."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    elif isinstance(error, Exception):
        yield error


def _reason(error: IntegrityError | ProtocolError) -> str:
    match error:
        case ForkError():
            return f"another history of the archive, {counted(error.length, 'block')} long"
        case IntegrityError(signature=True):
            return "bad signature"
        case IntegrityError(index=index) if index >= 0:
            return f"bad block {index}"
        case _:
            return str(error)
