from typing import get_args

from datctl import models_events
from datctl.models_events import ArchiveVersion, Event, Kind, event_of
from datd.hosting.telling.event_kinds import KINDS

COMMON = {"id": "1", "at": "2026-01-01T00:00:00Z", "archive": None}


def test_the_daemon_and_its_clients_know_the_same_kinds():
    assert set(get_args(Kind)) == set(KINDS) == set(models_events._CLASSES)


def test_an_event_is_read_by_its_kind():
    event = event_of({**COMMON, "kind": "archive.version", "previous": 1, "version": 2})
    assert isinstance(event, ArchiveVersion)
    assert (event.previous, event.version) == (1, 2)


def test_events_of_later_daemons_are_read_too():
    event = event_of({**COMMON, "kind": "archive.turned", "by": 90})
    assert type(event) is Event
    assert event.model_dump()["by"] == 90
    known = event_of({**COMMON, "kind": "daemon.stopping", "why": "x"})
    assert known.model_dump()["why"] == "x"
