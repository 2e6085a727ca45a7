"""How much the swarm does at most, and for how long. Values only."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

# Time for a dial, as in discovery-swarm: a host that is there answers well before.
DIAL_TIMEOUT = 3.0
# A worse transport that connected waits so long for a better one (transports.md section 5).
HEAD_START = 0.5
# Seconds before the next dial after the first, second, ... failure in a row; then a discovered peer
# is forgotten, so that its next announcement finds it anew (discovery.md section 10).
RETRY_DELAYS = (1.0, 1.0, 5.0, 15.0)
# A peer given by hand is never forgotten, only dialled less and less often.
MANUAL_RETRY_DELAYS = (*RETRY_DELAYS, 30.0, 60.0, 120.0, 300.0)
# Nor is one that was good, for a while; there may be many of them, so they are left alone sooner.
GOOD_RETRY_DELAYS = (*MANUAL_RETRY_DELAYS, 600.0, 1800.0, 3600.0)
# After so many failures in a row a good peer goes before others no more: it may be gone for good.
LONG_GONE = 5
# That a network names somebody brings the next dial forward no more often than this: servers go on
# naming who is gone, some of them for ever.
HASTE_PAUSE = 60.0
# Known good peers that an archive remembers, also over restarts.
KNOWN_GOOD = 16
# After so long without a word a good peer is one like any other: addresses change hands.
GOOD_FOR = 30 * 86400.0
# A live peer says something every 5 s (the original) or 3 s (ours); the original gives a connection
# up after 7.5 s without a byte. From then on a new connection to that peer may take its place.
SILENT = 7.5
# After a fault of the peer's we wait longer: it will hardly be a better peer a second later.
FAULT_DELAYS = (5.0, 15.0, 60.0, 300.0)
# A connection that lasted so long was no accident: failures and faults before it no longer count.
SETTLED = 10.0
# T-32: a host is dialled no more often than this, over all names and ports, as long as the address
# in question never spoke Dat to us.
DIAL_SPACING = 5.0
# L-19: first and every further ban of somebody who sends what does not verify.
BAN_TIMES = (3600.0, 86400.0)
# After a ban has ended, so long is remembered that there was one (discovery.md section 10).
BAN_MEMORY = 86400.0
# Different bad blocks, without one good one, that tell a liar from a disk with a fault.
BAD_BLOCKS = 3
# An address that turned out to be this daemon; addresses move on, so not for ever.
SELF_BAN = 86400.0
# Ends that are remembered with their reason, a name, to be shown.
REMEMBERED_ENDS = 32
# L-20: new candidates a second over all names; 20 of them can be dialled in that time.
ARRIVALS = 500
# Of the places on connections so many are kept from callers: one in this number. Else a crowd that
# calls could keep known good peers and those given by hand from being dialled (T-32).
RESERVED = 8
# While the places are full, a connection that we dialled makes room for an archive without any,
# once no block went either way for so long: with 1,024 places, 5,000 archives have their turn in a
# quarter of an hour. Each turn costs a dial and a handshake, so there are no more than this many a
# second. The last idle ones, one place in so many, are left to archives that miss blocks: enough
# for those of some seconds.
IDLE = 60.0
CLOSINGS = 5
LEFT_TO_HUNGRY = 32
MOST_LEFT_TO_HUNGRY = 4 * CLOSINGS
# Places may be free here, and none at the other end: after a dial that was answered and ended
# without a word, no more are filled for up to so long, but idle connections make room as if there
# were none.
TURNED_AWAY = 5.0
# A place that the other end has freed is left to it for so long: it has freed it for somebody.
COURTESY = 1.0
# An archive that misses blocks keeps its connections longer, in case its peers get some. Not for
# ever: there may be more such archives than places.
HUNGRY_IDLE = 600.0
# Everybody who is being ended gets this long to do so.
CLOSE_TIMEOUT = 1.5


@dataclass(slots=True)
class SwarmLimits:
    """Limits of the swarm. The defaults are those that datd ships with.

    Whoever made it may change `connections` while the swarm works: nobody is thrown out for that.

    Attributes:
        callers_per_address: L-18: connections of one address that have not named an archive yet.
        handshakes: T-3: callers that have not shaken hands yet, over all; the oldest goes first.
        calls_per_second: L-18: calls taken from one address in a second.
        calls_per_archive: Decision 5: calls of one address about one archive.
        per_archive: L-18: connections about one archive, dialled ones included.
        connections: Decision 5: connections over all archives. 4 MiB is the worst peer's cost.
        unknown_per_minute: T-4: unknown archives asked for by one address in a minute.
        dials_per_second: T-32.
        open_dials: T-32: dials not answered yet.
        candidates: L-20: known peers a name.
        candidates_per_second: L-20: new ones a name and second.
        allow_networks: Private networks that discovery may name from anywhere.
    """

    callers_per_address: int = 32
    handshakes: int = 128
    calls_per_second: int = 16
    calls_per_archive: int = 4
    per_archive: int = 64
    connections: int = 1024
    unknown_per_minute: int = 20
    dials_per_second: int = 20
    open_dials: int = 64
    candidates: int = 200
    candidates_per_second: int = 10
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
