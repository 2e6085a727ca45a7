from pathlib import Path

from tests.helpers.protos import messages_of_descriptor, messages_of_proto

from datd.archive import schema_pb2


def test_the_generated_code_is_that_of_the_schema():
    schema = Path(schema_pb2.__file__).with_name("schema.proto")
    messages = messages_of_proto(schema)
    assert messages_of_descriptor(schema_pb2.DESCRIPTOR) == messages
    assert len(messages) == 3
    assert ("required", "uint32", "mode", 1, None) in messages["datd.archive.v9.Stat"]
