"""A small reader of `.proto` files, to compare them with generated code without a compiler."""

import re
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_TOKEN = re.compile(r'//[^\n]*|"[^"]*"|[\w.]+|[{}=;\[\]]')
_LABELS = {
    FieldDescriptorProto.LABEL_OPTIONAL: "optional",
    FieldDescriptorProto.LABEL_REQUIRED: "required",
    FieldDescriptorProto.LABEL_REPEATED: "repeated",
}

Field = tuple[str, str, str, int, str | None]
"""Label, type, name, number, and the default as text."""


def messages_of_proto(path: Path) -> dict[str, set[Field]]:
    """Every message of a file by its full name, as its fields."""
    tokens = [token for token in _TOKEN.findall(path.read_text()) if not token.startswith("//")]
    found: dict[str, set[Field]] = {}
    scope: list[str] = []
    while tokens:
        word = tokens.pop(0)
        if word == "package":
            scope.append(tokens.pop(0))
        elif word == "message":
            scope.append(tokens.pop(0))
            found[".".join(scope)] = set()
        elif word == "}":
            scope.pop()
        elif word in ("required", "optional", "repeated"):
            found[".".join(scope)].add(_field(word, tokens))
        elif word == "syntax":
            assert tokens[:2] == ["=", '"proto2"']
    return found


def messages_of_descriptor(file: FileDescriptor) -> dict[str, set[Field]]:
    """The same of generated code."""
    generated = FileDescriptorProto()
    file.CopyToProto(generated)
    found: dict[str, set[Field]] = {}
    waiting = [(generated.package, message) for message in generated.message_type]
    while waiting:
        scope, message = waiting.pop()
        name = f"{scope}.{message.name}"
        waiting += [(name, nested) for nested in message.nested_type]
        found[name] = {_described(field) for field in message.field}
    return found


def _field(label: str, tokens: list[str]) -> Field:
    kind, name, equals, number = (tokens.pop(0) for _ in range(4))
    assert equals == "="
    default = None
    if tokens[0] == "[":
        _, word, _, default, _ = (tokens.pop(0) for _ in range(5))
        assert word == "default"
    return label, kind, name, int(number), default


def _described(field: FieldDescriptorProto) -> Field:
    # TYPE_UINT64 is `uint64` in a schema; messages are named with their packages.
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.type_name:
        kind = field.type_name.rpartition(".")[2]
    default = field.default_value if field.HasField("default_value") else None
    return _LABELS[field.label], kind, field.name, field.number, default
