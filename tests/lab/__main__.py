"""The lab by hand: `python -m tests.lab COMMAND`, as root.

up lan|nat|wire ID [options]      build a network that stays
exec ID HOST COMMAND ...          run something inside a host; exit status is passed through
loss ID HOST PERCENT              drop so much of what HOST receives, 0 ends that
mcast ID HOST on|off              allow or forbid multicast
block ID HOST tcp|udp on|off      drop new TCP connections, or all datagrams
cut ID HOST on|off                pull the host's cable, or plug it in again
down ID · list · gc               remove one; show all; remove those whose owner is gone
run lan|nat|wire [options] -- COMMAND ...   up, COMMAND with $NETLAB = ID, down whatever happens
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys

from tests.lab.netlab import STATE, Lab, collect_garbage

SPOILING = ("delay", "jitter", "loss", "reorder", "rate", "queue_ms")


def topology_options(parser: argparse.ArgumentParser) -> None:
    """Options of `up` and `run`."""
    parser.add_argument("topology", choices=["lan", "nat", "wire"])
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--ipv6", action="store_true", help="hosts of a LAN have IPv6 too")
    for side in ("--nat-a", "--nat-b"):
        parser.add_argument(side, choices=["cone", "symmetric", "full", "none"], default="cone")
    for name in SPOILING:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float)
    parser.add_argument("--mtu", type=int)


def parser() -> argparse.ArgumentParser:
    """All commands."""
    top = argparse.ArgumentParser(
        prog="python -m tests.lab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    topology_options(up)
    up.add_argument("id")
    topology_options(commands.add_parser("run"))
    for name, *more in (
        ("exec", "id", "host"),
        ("loss", "id", "host", "percent"),
        ("mcast", "id", "host", "state"),
        ("block", "id", "host", "protocol", "state"),
        ("cut", "id", "host", "state"),
        ("down", "id"),
        ("list",),
        ("gc",),
    ):
        command = commands.add_parser(name)
        for argument in more:
            command.add_argument(argument)
        if name == "exec":
            command.add_argument("words", nargs=argparse.REMAINDER)
    return top


def build(options: argparse.Namespace, lab_id: str | None) -> Lab:
    """The network that the options describe."""
    if options.topology == "lan":
        return Lab.lan(options.hosts, lab_id, ipv6=options.ipv6)
    if options.topology == "nat":
        return Lab.nat(options.nat_a, options.nat_b, lab_id)
    given = {name: getattr(options, name) for name in (*SPOILING, "mtu")}
    return Lab.wire(lab_id, **{name: value for name, value in given.items() if value is not None})


def run(options: argparse.Namespace, words: list[str]) -> int:
    """Build, run a command, remove; also when we are told to end."""
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: sys.exit(1))
    with build(options, None) as lab:
        return subprocess.call(words, env={**os.environ, "NETLAB": lab.id})


def main() -> int:
    """Carry out one command."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    options, rest = parser().parse_args(words[:cut]), words[cut + 1 :]
    if os.geteuid() != 0 or shutil.which("ip") is None:
        sys.stderr.write("the lab needs root and iproute2\n")
        return 2
    match options.command:
        case "up":
            lab = build(options, options.id)
            lab.save(None)
            sys.stdout.write(f"{lab.addresses} {lab.addresses6 or ''}".rstrip() + "\n")
        case "run":
            return run(options, rest)
        case "exec":
            inside = Lab.load(options.id).prefix(options.host)
            os.execvp(inside[0], [*inside, *options.words, *rest])
        case "loss":
            Lab.load(options.id).loss(options.host, float(options.percent))
        case "mcast":
            Lab.load(options.id).multicast(options.host, allowed=options.state == "on")
        case "block":
            on = options.state == "on"
            Lab.load(options.id).block(options.host, options.protocol, on=on)
        case "cut":
            Lab.load(options.id).cut(options.host, on=options.state == "on")
        case "down":
            Lab.load(options.id).down()
        case "list":
            sys.stdout.writelines(f"{file.stem}\n" for file in sorted(STATE.glob("*.json")))
        case "gc":
            sys.stdout.writelines(f"{lab_id} removed\n" for lab_id in collect_garbage())
    return 0


if __name__ == "__main__":
    sys.exit(main())
