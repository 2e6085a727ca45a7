from datctl.models_jobs import JobList

RUNNING = """{"jobs": [{"id": "3", "kind": "import", "archive": "%s", "state": "running",
    "progress": 0.5, "done": 5, "total": 10, "unit": "files", "text": "half of it",
    "error": null, "skipped": [{"path": "/x", "reason": "is a pipe"}],
    "started_at": "2026-01-01T00:00:00Z", "ended_at": null, "of a later daemon": 1}]}"""


def test_what_a_later_daemon_adds_does_not_disturb():
    (job,) = JobList.model_validate_json(RUNNING % ("a" * 64)).jobs
    assert (job.kind, job.state, job.progress, job.ended_at) == ("import", "running", 0.5, None)
    assert [(one.path, one.reason) for one in job.skipped] == [("/x", "is a pipe")]
