"""What went through the UDP socket, counted. Pure."""

from dataclasses import dataclass, field

from datd.udp.demultiplex import Kind


@dataclass(slots=True)
class Traffic:
    """Datagrams of one kind, and their bytes without headers of UDP and IP."""

    datagrams_in: int = 0
    bytes_in: int = 0
    datagrams_out: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class UdpCounts:
    """Everything since the start.

    Attributes:
        by_kind: What was spoken, by who speaks it.
        unknown: Datagrams that came and were nobody's.
        unknown_bytes: Their bytes.
        refused: Datagrams that the system would not take: no route, a full buffer, a firewall.
        errors: Calls to receive that failed, such as ICMP's answers to what was sent earlier.
    """

    by_kind: dict[Kind, Traffic] = field(default_factory=lambda: {kind: Traffic() for kind in Kind})
    unknown: int = 0
    unknown_bytes: int = 0
    refused: int = 0
    errors: int = 0
