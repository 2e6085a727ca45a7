from pathlib import Path

from tests.helpers.protos import messages_of_descriptor, messages_of_proto

from datd.wire import schema_pb2


def test_the_generated_code_is_that_of_the_schema():
    schema = Path(schema_pb2.__file__).with_name("schema.proto")
    messages = messages_of_proto(schema)
    assert messages_of_descriptor(schema_pb2.DESCRIPTOR) == messages
    assert len(messages) == 11
    assert ("optional", "uint64", "length", 2, "1") in messages["datd.wire.v6.Have"]
    assert ("repeated", "Node", "nodes", 3, None) in messages["datd.wire.v6.Data"]
