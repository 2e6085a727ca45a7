import pytest
from tests.helpers.network import MemoryNetwork
from tests.suites.discovery_networks import DiscoveryNetworkSuite


class TestMemoryDiscovery(DiscoveryNetworkSuite):
    """The network that other tests use keeps the rules, too."""

    @pytest.fixture
    def networks(self):
        network = MemoryNetwork(latency=0.001)
        return network.host("10.0.0.1")[1], network.host("10.0.0.2")[1]
