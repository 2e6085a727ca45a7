import os

import pytest

from datd import crypto
from datd.errors import StorageError
from datd.hosting.own.secrets import Mark, Secrets
from datd.keys import Key
from datd.records import Signed

PAIR = crypto.key_pair(b"a seed that everybody can guess.")
NAME = Key(PAIR.public).discovery_key
MARK = Mark(Signed(3, "ab" * 32, "cd" * 64), None)


@pytest.fixture
def secrets(tmp_path):
    return Secrets(tmp_path / "keys")


def file_of(tmp_path):
    digits = str(NAME)
    return tmp_path / "keys" / digits[:2] / digits[2:]


def test_t50_a_key_is_kept_for_its_owner_only(secrets, tmp_path):
    assert secrets.read(NAME) is None
    secrets.keep(PAIR.secret)
    secrets.keep(PAIR.secret)
    assert secrets.read(NAME) == PAIR.secret
    file = file_of(tmp_path)
    assert [oct(path.stat().st_mode & 0o777) for path in (file, file.parent, file.parent.parent)] \
        == ["0o600", "0o700", "0o700"]  # fmt: skip


def test_t50_a_key_that_others_can_read_is_not_used(secrets, tmp_path):
    secrets.keep(PAIR.secret)
    os.chmod(file_of(tmp_path), 0o640)
    with pytest.raises(StorageError, match="chmod 600"):
        secrets.read(NAME)


@pytest.mark.parametrize("content", [b"", b"short", bytes(64), PAIR.secret[:32] + bytes(32)])
def test_c11_what_is_no_key_of_that_archive_is_not_used(secrets, tmp_path, content):
    secrets.keep(PAIR.secret)
    file_of(tmp_path).write_bytes(content)
    with pytest.raises(StorageError, match="is not the secret key"):
        secrets.read(NAME)


def test_halves_that_do_not_fit_are_not_kept(secrets):
    with pytest.raises(ValueError, match="halves"):
        secrets.keep(PAIR.secret[:32] + bytes(32))
    assert secrets.read(NAME) is None


def test_a_mark_is_kept_and_replaced(secrets, tmp_path):
    assert secrets.mark(NAME) is None
    secrets.set_mark(NAME, MARK)
    assert secrets.mark(NAME) == MARK
    secrets.set_mark(NAME, Mark())
    assert secrets.mark(NAME) == Mark()
    left = sorted(path.name for path in (tmp_path / "keys").rglob("*") if path.is_file())
    assert left == [str(NAME)[2:] + ".mark"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b'{"metadata": {}, "content": null}'])
def test_a_mark_that_makes_no_sense_counts_as_none(secrets, tmp_path, text):
    secrets.set_mark(NAME, MARK)
    file = file_of(tmp_path)
    file.with_name(file.name + ".mark").write_bytes(text)
    assert secrets.mark(NAME) is None


def test_a_key_is_removed_with_its_mark(secrets, tmp_path):
    secrets.keep(PAIR.secret)
    secrets.set_mark(NAME, MARK)
    secrets.remove(NAME)
    secrets.remove(NAME)
    assert (secrets.read(NAME), secrets.mark(NAME)) == (None, None)
