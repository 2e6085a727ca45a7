import pytest
from tests.helpers.network import MemoryNetwork
from tests.suites.transports import TransportSuite


class TestMemoryTransport(TransportSuite):
    """The network that other tests use keeps the rules, too."""

    host = "10.0.0.1"

    @pytest.fixture
    def transport(self):
        return MemoryNetwork(latency=0.001).host(self.host)[0]
