import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.gateways import route

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
# 10.0.0.1 as a machine with little end first prints it.
ROW = "eth0\t00000000\t0100000A\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0\n"
LINK = "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"

little = pytest.mark.skipif(sys.byteorder != "little", reason="the rows are of the other kind")


@little
def test_the_default_route_names_the_router():
    assert route.parse_routes(HEAD + LINK + ROW.format(metric=0)) == "10.0.0.1"


@little
def test_the_lowest_metric_counts():
    other = ROW.format(metric=100).replace("0100000A", "FE01A8C0")
    assert route.parse_routes(HEAD + ROW.format(metric=600) + other) == "192.168.1.254"
    assert route.parse_routes(HEAD + ROW.format(metric=20) + other) == "10.0.0.1"


@pytest.mark.parametrize(
    "text",
    ["", HEAD, HEAD + LINK, HEAD + ROW.format(metric=0).replace("0003", "0001"),
     HEAD + ROW.format(metric=0).replace("0003", "0002"), HEAD + "a\nb c\n", HEAD + ROW],
)  # fmt: skip
def test_without_a_default_route_there_is_no_router(text):
    assert route.parse_routes(text) is None


@given(st.text(max_size=200) | st.lists(st.text("0123456789ABCDEF", max_size=12)).map("\t".join))
def test_t31_no_table_is_too_odd(text):
    route.parse_routes(HEAD + text)


@pytest.mark.parametrize(
    ("host", "inner"),
    [("10.0.0.1", True), ("192.168.1.1", True), ("172.31.0.1", True), ("100.64.0.1", True),
     ("172.32.0.1", False), ("192.0.2.7", False), ("8.8.8.8", False), ("127.0.0.1", False)],
)  # fmt: skip
def test_inner_addresses_need_a_router(host, inner):
    assert route.inner(host) is inner


def test_the_own_address_is_the_one_that_the_other_host_sees():
    assert route.own_address("127.0.0.1") == "127.0.0.1"


def test_what_this_machine_says_can_be_read():
    found = route.default_gateway()
    if not Path("/proc/net/route").exists():
        assert found is None
    assert found is None or (route.inner(found.host) and route.inner(found.own))
