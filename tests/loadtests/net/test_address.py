"""Parsing and formatting of addresses."""

import pytest

from chatswarm.loadtests.net.address import join_host_port, parse_address, split_host_port


@pytest.mark.parametrize("host", ["h[::1]", "[::1]x", "[::1]x:80", "[::1][::2]", "h[::1]:80"])
def test_text_beside_the_brackets_of_ipv6_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"expected a URL such as .* \((something beside the brackets|.*IPv6.*)\)$"):
        parse_address(f"http://{host}")


@pytest.mark.parametrize("written", ["fe80::1%eth0", "fe80::1%25eth0", "FE80::1%25eth0"])
def test_the_zone_of_a_link_local_address_is_used_to_connect_but_not_sent_to_servers(
    written: str,
) -> None:
    address = parse_address(f"http://[{written}]:8000/chat")
    assert (address.host, address.endpoint) == ("fe80::1%eth0", "[fe80::1%eth0]:8000")
    assert address.url == "http://[fe80::1%25eth0]:8000/chat"
    assert (address.authority, address.origin) == ("[fe80::1]:8000", "http://[fe80::1]:8000")
    assert address.socket_url == "ws://[fe80::1]:8000/chat"


@pytest.mark.parametrize("zone", ["", "%", "a b", "a%62", "a[b"])
def test_an_invalid_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="expected a URL such as "):
        parse_address(f"http://[fe80::1%{zone}]")


@pytest.mark.parametrize(
    "url",
    ["HTTP://[::1]:80/", "https://[::1]:443", "http://[fe80::1%25]", "https://[fe80::1%eth0]:443/a%20b/", "http://h:"],
)
def test_an_addresss_url_parses_to_the_same_address(url: str) -> None:
    address = parse_address(url)
    assert parse_address(address.url) == address


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), ("chat.test:80", ("chat.test", 80))],
)
def test_split_host_port(text: str, parts: tuple[str, int]) -> None:
    assert split_host_port(text) == parts


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("", ":80")])
def test_join_host_port(host: str, text: str) -> None:
    assert join_host_port(host, 80) == text


@pytest.mark.parametrize(
    ("url", "port"), [("http://h", 8474), ("http://h:80", 80), ("https://h", 443), ("https://h:1", 1)]
)
def test_the_caller_sets_the_default_port_of_http(url: str, port: int) -> None:
    assert parse_address(url, http_port=8474).port == port
