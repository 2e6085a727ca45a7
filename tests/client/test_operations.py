"""The client speaks of the same operations as the daemon: none is missing, none is made up."""

import re

from datctl.client import Client
from datctl.sync import method_names

# The method of `Client` for each operation of the daemon's OpenAPI document.
METHODS = {
    "get_health": "is_alive",
    "get_readiness": "is_ready",
    "get_info": "info",
    "get_info_of_folder": "info",
    "get_metrics": "metrics",
    "get_openapi": "openapi",
    "get_stats": "stats",
    "get_diagnosis": "diagnosis",
    "list_settings": "settings",
    "change_settings": "change_settings",
    "list_peers": "peers",
    "list_archives": "archives",
    "add_archive": "add",
    "get_archive": "archive",
    "change_archive": "change",
    "remove_archive": "remove",
    "pause_archive": "pause",
    "resume_archive": "resume",
    "get_archive_stats": "archive_stats",
    "list_archive_peers": "peers",
    "add_archive_peer": "add_peer",
    "get_history": "history",
    "get_difference": "diff",
    "list_root": "list",
    "get_file": "read",
    "put_file": "put",
    "remove_file": "delete",
    "fork_archive": "fork",
    "rescan_archive": "rescan",
    "verify_archive": "verify",
    "adopt_folder": "adopt",
    "get_secret_key": "secret_key",
    "put_secret_key": "give_secret_key",
    "list_jobs": "jobs",
    "get_job": "job",
    "cancel_job": "cancel",
    "follow_events": "events",
    "list_webhooks": "webhooks",
    "add_webhook": "add_webhook",
    "get_webhook": "webhook",
    "change_webhook": "change_webhook",
    "remove_webhook": "remove_webhook",
    "test_webhook": "test_webhook",
    "whoami": "whoami",
    "list_tokens": "tokens",
    "create_token": "create_token",
    "revoke_token": "revoke_token",
    "list_accounts": "accounts",
    "create_account": "add_account",
    "get_account": "account",
    "change_account": "change_account",
    "remove_account": "remove_account",
    "list_audit": "audit",
    "get_sleep_file": "sleep_file",
}
# What is not for programs that use this library, and for whom it is.
FOR_OTHERS = {
    "get_docs": "a page for people",
    "get_archive_of_domain": "asked by clients of Dat under the archive's own domain",
    "replicate_archive": "a WebSocket for peers",
}
# DEP-0003 has clients of its own; accounts log in there with passwords, not with our tokens.
_PINNING = re.compile(r"/v1/|/\.well-known/psa$")


async def test_each_operation_has_its_method(dat):
    document = await dat.openapi()
    found = {
        operation["operationId"]
        for path, methods in document["paths"].items()
        if not _PINNING.match(path)
        for operation in methods.values()
        if isinstance(operation, dict) and "operationId" in operation
    }
    assert found - METHODS.keys() - FOR_OTHERS.keys() == set(), "give them methods, or say why not"
    assert {*METHODS, *FOR_OTHERS} - found == set(), "there is nothing of that name any more"


def test_all_these_methods_are_there():
    dat = Client("http://127.0.0.1:1", token="none", env={})
    assert all(callable(getattr(dat, name)) for name in METHODS.values())
    assert set(METHODS.values()) - set(method_names(dat)) == {"sleep_file"}
