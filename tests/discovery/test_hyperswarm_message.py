from hypothesis import given
from hypothesis import strategies as st

from datd.discovery import hyperswarm_message
from datd.discovery.hyperswarm_message import Answer, Message
from datd.types import Address

# What @hyperswarm/discovery 1.11.5 sent in a lab: a program at 10.99.0.1 that announces the key
# 07 07 … on port 3282, and one at 10.99.0.2 that looks for it.
NAME = bytes([7]) * 20
FULL_NAME = "28" + "3037" * 20 + "0a6879706572737761726d" + "056c6f63616c" + "00"
QUESTION = bytes.fromhex("000000000001000000000000" + FULL_NAME + "00210001")
ID = bytes.fromhex("b19140de882040e717fca5210d252b2179c2674d53173e29b7be3076e93155ba")
ANSWER = bytes.fromhex(
    "000084000000000300000000"
    + FULL_NAME
    + "002100010000"
    + "0000000f"
    + "000000000cd2"
    + "013001300130013000"
    + FULL_NAME
    + "001000010000"
    + "00000024"
    + "2369643d"
    + ID.hex()
    + "087265666572726572"
    + "0a6879706572737761726d056c6f63616c00"
    + "000100010000000000040a630002"
)
# The first words of an announcer, before anybody asked: no third record.
FIRST = ANSWER.replace(bytes.fromhex("00030000"), bytes.fromhex("00020000"), 1)[:-41]


def test_a_question_is_the_one_of_dat_14():
    assert hyperswarm_message.encode_question(NAME) == QUESTION
    assert hyperswarm_message.decode(QUESTION) == Message(questions=(NAME,))


def test_an_answer_is_the_one_of_dat_14():
    answer = hyperswarm_message.encode_answer(NAME, port=3282, id=ID, asker="10.99.0.2")
    assert answer == ANSWER
    told = Answer(NAME, Address("0.0.0.0", 3282), ID)
    assert hyperswarm_message.decode(ANSWER) == Message(answers=(told,))


def test_an_announcement_that_nobody_asked_for_is_read_too():
    told = Answer(NAME, Address("0.0.0.0", 3282), ID)
    assert hyperswarm_message.decode(FIRST) == Message(answers=(told,))


def test_names_are_compared_without_regard_to_case():
    told = hyperswarm_message.decode(QUESTION.replace(b"hyperswarm", b"HyperSwarm"))
    assert told == Message(questions=(NAME,))


def test_only_srv_questions_about_names_are_heard():
    for strange in (
        QUESTION[:-3] + b"\x10\0\x01",  # TXT
        QUESTION[:-1] + b"\x03",  # another class
        QUESTION.replace(b"07" * 20, b"zz" * 20),
        QUESTION.replace(b"07" * 20, b"0 " * 20),
        QUESTION.replace(b"local", b"lokal"),
    ):
        assert hyperswarm_message.decode(strange) in (None, Message())


def test_other_programs_of_the_group_are_passed_over():
    assert hyperswarm_message.decode(QUESTION.replace(b"hyperswarm", b"googlecast")) is None


def test_a_target_that_is_no_address_is_no_peer():
    broken = ANSWER.replace(
        bytes.fromhex("013001300130013000"), bytes.fromhex("017801300130013000")
    )
    assert hyperswarm_message.decode(broken) == Message()


def test_ids_differ_by_name_and_by_process():
    one = hyperswarm_message.identity(b"secret", NAME)
    assert len(one) == hyperswarm_message.ID_SIZE
    assert one == hyperswarm_message.identity(b"secret", NAME)
    assert one != hyperswarm_message.identity(b"secret", bytes(20))
    assert one != hyperswarm_message.identity(b"other", NAME)


@given(st.binary(max_size=600))
def test_t31_any_bytes_are_read_or_refused(garbage: bytes):
    hyperswarm_message.decode(garbage)
    hyperswarm_message.decode(b"hyperswarm" + garbage)


@given(st.integers(0, len(ANSWER) - 1), st.integers(0, 255), st.integers(0, len(ANSWER)))
def test_t31_spoiled_answers_are_read_or_refused(place: int, value: int, end: int):
    spoiled = bytearray(ANSWER)
    spoiled[place] = value
    told = hyperswarm_message.decode(bytes(spoiled[:end]))
    for answer in told.answers if told else ():
        assert len(answer.name) == 20
        assert 0 <= answer.peer.port < 65536


def test_t31_a_datagram_longer_than_a_frame_is_not_looked_at():
    assert hyperswarm_message.decode(ANSWER + bytes(1500)) is None
