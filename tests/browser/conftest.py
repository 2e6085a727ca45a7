import pytest
from tests.helpers.browser import SHARED, Shown, chromium
from tests.helpers.daemon import running_daemon


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown") / "data"
    with running_daemon(folder, environment={"DATD_GATEWAY__HOSTS": SHARED}) as daemon:
        yield Shown(daemon)


@pytest.fixture
def page(browser):
    context = browser.new_context()
    context.set_default_timeout(90_000)
    try:
        yield context.new_page()
    finally:
        context.close()
