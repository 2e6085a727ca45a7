"""How archives and amounts are said in a line, for people."""

from typing import TYPE_CHECKING

from datctl import output

if TYPE_CHECKING:
    from datctl.models import Archive
    from datctl.models_archive import Amount


def label(archive: "Archive") -> str:
    """Its name, as far as it has one, and enough of its key."""
    name = archive.name or archive.title
    return output.shown(f"{name} ({archive.key[:12]})" if name else archive.link)


def amount(archive: "Archive") -> str:
    """How much of it is here."""
    have, total = archive.bytes.have, archive.bytes.total
    return f"{output.size_text(have)} of {output.size_text(total)}"


def blocks(found: "Amount") -> str:
    """Blocks that are here, and those that nobody has."""
    gone = f", {found.unavailable} that nobody has any more" if found.unavailable else ""
    return f"{found.have} of {found.total}{gone}"


def mode(archive: "Archive") -> str:
    """What is kept of it."""
    match archive.mode:
        case "archive":
            return "archive: every version"
        case "latest":
            return "latest: the newest version of each file"
        case _:
            asked = ", ".join(archive.include or ())
            return f"sparse: what is read{f', and {asked}' if asked else ''}"


def conflict(archive: "Archive") -> str:
    """What is wrong with its histories."""
    if archive.conflict is None:
        return "none"
    blocks = output.count_text(archive.conflict.refused.length, "block")
    return f"two histories were signed with its key; the other one has {blocks}"
