import pytest

from datctl import errors


def problem(kind, status=404, **more):
    return {
        "type": f"urn:datd:problem/{kind}",
        "title": "t",
        "status": status,
        "detail": "d",
    } | more


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("unknown_archive", errors.NotFound),
        ("no_such_file", errors.NotFound),
        ("unauthorized", errors.Unauthorized),
        ("exists", errors.Conflict),
        ("unknown_name", errors.NotFound),
        ("name_unreachable", errors.NoAnswer),
        ("no_peers", errors.NoPeers),
        ("no_such_job", errors.NotFound),
        ("behind", errors.Conflict),
        ("gone", errors.Gone),
        ("bad_link", errors.ApiError),
        ("something_new", errors.ApiError),
    ],
)
def test_a_kind_of_problem_is_a_kind_of_exception(kind, expected):
    error = errors.api_error(404, problem(kind))
    assert type(error) is expected
    assert (error.kind, error.detail, str(error)) == (kind, "d", "d")


def test_fields_that_are_wrong_are_kept():
    listed = [{"pointer": "/peers/0", "detail": "expected HOST:PORT"}, "nonsense"]
    error = errors.api_error(400, problem("bad_request", 400, errors=listed))
    assert error.fields == [("/peers/0", "expected HOST:PORT")]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (errors.NoDaemon("x"), True),
        (errors.TimedOut("x"), True),
        (errors.TransferError("x"), True),
        (errors.api_error(503, problem("busy", 503)), True),
        (errors.api_error(504, problem("no_peers", 504)), True),
        (errors.api_error(502, None), True),
        (errors.api_error(404, problem("unknown_archive")), False),
        (errors.api_error(507, problem("disk_full", 507)), False),
        (errors.UsageError("x"), False),
        (errors.WriteError("x"), False),
    ],
)
def test_some_errors_pass_by_themselves(error, passes):
    assert errors.passes(error) is passes


@pytest.mark.parametrize("document", [None, [], "x", {}, {"type": 5}])
def test_an_answer_of_something_else_still_has_its_kind_by_status(document):
    assert isinstance(errors.api_error(404, document), errors.NotFound)
    assert isinstance(errors.api_error(504, document), errors.NoPeers)
    assert "502" in str(errors.api_error(502, document))
