import ipaddress

import pytest

from gradwatch_service.notify.addresses import Allowed, is_outside, literal, why_not_a_host


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111",
     "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)  # fmt: skip
def test_what_is_public_is_outside(address: str) -> None:
    assert is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254", "172.31.255.255",
     "192.168.1.1", "0.1.1.1", "224.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.2.1",
     "::", "::1", "::ffff:10.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1",
     "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:a00:1::", "2001:0:a00:1::", "2001:db8::1",
     "fc00::1", "fe80::1", "fec0::1", "ff02::1", "100::1", "5f00::1", "3fff::1"],
)  # fmt: skip
def test_what_is_not_is_inside(address: str) -> None:
    assert not is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["example.org", "a-b.c_d.org", "xn--r8jz45g.jp", "1.1.1.1", "::1"])
def test_names_and_addresses_as_usual_are_hosts(host: str) -> None:
    assert why_not_a_host(host) == ""


@pytest.mark.parametrize(
    "host",
    ["", "example.org.", ".example.org", "a..b", "-a.org", "a b", "a%20b", "2130706433", "0x7f.1",
     "127.1", "0177.0.0.1", "1.2.3.4.5", "example.0x10", "fe80::1%lo", "a" * 64, "ä.org", "a/b"],
)  # fmt: skip
def test_other_forms_are_not(host: str) -> None:
    assert why_not_a_host(host)


def test_zones_are_not_read() -> None:
    assert literal("fe80::1%lo") is None
    assert literal("fe80::1") == ipaddress.ip_address("fe80::1")


def test_an_allowed_network_holds_the_mapped_form_of_its_addresses() -> None:
    allowed = Allowed.parse("10.0.0.0/8 2001:db8::/32")
    assert allowed.holds(ipaddress.ip_address("::ffff:10.0.0.1"))
    assert allowed.holds(ipaddress.ip_address("2001:db8::5"))
    assert not allowed.holds(ipaddress.ip_address("11.0.0.1"))
