"""What may stand on a command line, as plain values: verbs, options and what they take.

Made from the verbs themselves by `datctl completion`, and carried by the script that it prints, so
that completing a word loads none of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument

# What arguments and options of these names stand for; `completing` knows how to find their values.
_KINDS = {
    "ARCHIVE": "archive", "ARCHIVE/PATH": "place", "JOB": "job", "DIR": "folder", "FILE": "file",
    "DEST": "file", "FROM": "version", "TO": "version", "VERSION": "version", "VERB": "verb",
    "--into": "archive", "--tag": "tag", "--version": "version", "--since": "version",
    "--until": "version", "NETWORK": "network", "--network": "network",
}  # fmt: skip
_MAX_HELP = 60

Grammar = dict[str, Any]


def grammar_of(app: "App", common: "App") -> Grammar:
    """Everything that may follow `datctl`.

    Args:
        app: The verbs.
        common: Whose options may stand before every verb, and behind it.

    Returns:
        Words of a verb ("jobs wait"; "" for none) → `verbs`: name → help; `options`: name → what it
        takes, `null` nothing; `takes`: what stands behind it; `more`: whether the last of these may
        be repeated. What something takes is a list of words, or a kind: "archive", "file", ….
    """
    shared = {
        name: _taken(argument)
        for argument in common.assemble_argument_collection()
        for name in argument.names
        if name.startswith("-") and argument.parse
    }
    shared |= {"--help": None, "-h": None}
    found: Grammar = {"": {"verbs": _verbs(app), "options": {**shared, "--version": None}}}
    for words, verb in _below(app, ()):
        found[" ".join(words)] = _entry(verb, shared)
    return found


def _below(app: "App", words: tuple[str, ...]) -> "Iterator[tuple[tuple[str, ...], App]]":
    for name in _verbs(app):
        verb = app[name]
        yield (*words, name), verb
        yield from _below(verb, (*words, name))


def _verbs(app: "App") -> dict[str, str]:
    named = {name: app[name] for name in app if not name.startswith("-") and app[name].show}
    return {name: _short(verb.help) for name, verb in named.items()}


def _entry(verb: "App", shared: dict[str, Any]) -> Grammar:
    options, takes, more = dict(shared), list[Any](), False
    for argument in verb.assemble_argument_collection() if verb.default_command else ():
        if not argument.parse:
            continue
        names = [name for name in argument.names if name.startswith("-")]
        options |= {name: _taken(argument) for name in names}
        options |= dict.fromkeys(argument.negatives)
        if not names:
            takes.append(_taken(argument))
            more = argument.is_var_positional()
    return {"verbs": _verbs(verb), "options": options, "takes": takes, "more": more}


def _taken(argument: "Argument") -> list[str] | str | None:
    if argument.is_flag():
        return None
    choices = argument.get_choices()
    if choices:
        return list(choices)
    for name in argument.names:
        if name in _KINDS:
            kind = _KINDS[name]
            # Some verbs take the path that may follow an archive.
            with_path = kind == "archive" and "/PATH" in (argument.parameter.help or "")
            return "place" if with_path else kind
    return "file" if Path in (argument.hint, *get_args(argument.hint)) else ""


def _short(text: str | None) -> str:
    line = " ".join((text or "").split("\n\n")[0].split()).replace("`", "")
    sentence = line.split(": ")[0].split(". ")[0].rstrip(".")
    return sentence if len(sentence) <= _MAX_HELP else sentence[: _MAX_HELP - 1].rstrip() + "…"
