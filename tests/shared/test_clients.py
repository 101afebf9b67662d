"""Where a request comes from: what proxies of ours say counts, and what anybody else says does not."""

import random

import pytest

from shared.clients import Client, client_of, networks, owner_of
from shared.settings import Settings, WrongSettings, load

TRUSTED = networks("10.0.0.0/8, 2001:db8:1::/48 192.0.2.1")
PROXY, STRANGER, CLIENT = "10.0.0.1", "203.0.113.9", "198.51.100.7"

Headers = list[tuple[bytes, bytes]]


def xff(*values: str) -> Headers:
    """`X-Forwarded-For`, as often as there are values."""
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


def forwarded(*values: str) -> Headers:
    """`Forwarded`, as often as there are values."""
    return [(b"forwarded", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        pytest.param([], PROXY, id="says nothing"),
        pytest.param(xff(CLIENT), CLIENT, id="one"),
        pytest.param(xff(f"6.6.6.6, {CLIENT}"), CLIENT, id="the right one"),
        pytest.param(xff(f"6.6.6.6, {CLIENT}, 10.2.3.4"), CLIENT, id="past a second proxy"),
        pytest.param(xff("6.6.6.6", f"{CLIENT}", "10.2.3.4"), CLIENT, id="several headers"),
        pytest.param(xff("10.7.7.7, 10.2.3.4"), "10.7.7.7", id="all of them proxies"),
        pytest.param(xff(f" ,, {CLIENT} , "), CLIENT, id="empty entries"),
        pytest.param(xff("", ""), PROXY, id="empty headers"),
        pytest.param(xff(f"{CLIENT}:4711"), CLIENT, id="a port"),
        pytest.param(xff("[2001:db8::5]:4711"), "2001:db8::5", id="v6 with port"),
        pytest.param(xff("[2001:db8::5]"), "2001:db8::5", id="v6 in brackets"),
        pytest.param(xff("2001:DB8:0::5"), "2001:db8::5", id="v6 bare, spelled otherwise"),
        pytest.param(xff("fe80::1%eth0"), "fe80::1", id="v6 with zone"),
        pytest.param(xff(f"::ffff:{CLIENT}"), CLIENT, id="v4 in v6"),
        pytest.param(xff(f"{CLIENT}, 2001:db8:1::9"), CLIENT, id="a v6 proxy"),
        pytest.param(xff(f"{CLIENT}, unknown"), PROXY, id="unknown"),
        pytest.param(xff(f"{CLIENT}, unknown, 10.2.3.4"), "10.2.3.4", id="unknown behind the second proxy"),
        pytest.param(xff("_hidden"), PROXY, id="obfuscated"),
        pytest.param(xff("[2001:db8::5"), PROXY, id="open bracket"),
        pytest.param(xff("[2001:db8::5]x"), PROXY, id="more behind the bracket"),
        pytest.param(xff("1.2.3.4:port"), PROXY, id="no port"),
        pytest.param(xff("1.2.3"), PROXY, id="no address"),
        pytest.param(xff("010.1.1.1"), PROXY, id="octal or not"),
        pytest.param(xff("\uff11.2.3.4".encode().decode("latin-1")), PROXY, id="other digits"),
        pytest.param(xff("x" * 10_000), PROXY, id="long"),
        pytest.param(xff(",".join(["10.2.3.4"] * 5000)), "10.2.3.4", id="very many"),
        pytest.param(forwarded(f"for={CLIENT}"), CLIENT, id="Forwarded"),
        pytest.param(forwarded(f'For="{CLIENT}:80";proto=https;by=_x'), CLIENT, id="quoted, other pairs"),
        pytest.param(forwarded('for="[2001:db8::5]:4711"'), "2001:db8::5", id="Forwarded v6"),
        pytest.param(forwarded(f"for=6.6.6.6, for={CLIENT};host=x, for=10.2.3.4"), CLIENT, id="chain"),
        pytest.param(forwarded("for=6.6.6.6", f"for={CLIENT}"), CLIENT, id="several Forwarded"),
        pytest.param(forwarded(f"for={CLIENT}, for=unknown"), PROXY, id="Forwarded unknown"),
        pytest.param(forwarded("for=_hidden"), PROXY, id="Forwarded obfuscated"),
        pytest.param(forwarded(f"for={CLIENT}, proto=https"), PROXY, id="an element without for"),
        pytest.param(forwarded(f'for=6.6.6.6;x=", for={CLIENT}'), PROXY, id="an open quote of a stranger"),
        pytest.param(forwarded(f'for="6.6.6.6, for={CLIENT}"'), PROXY, id="a comma in quotes"),
        pytest.param(forwarded(f"for={CLIENT};for=6.6.6.6"), PROXY, id="for twice"),
        pytest.param(forwarded(f"for = {CLIENT}"), PROXY, id="blanks around the sign"),
        pytest.param(forwarded(""), PROXY, id="empty Forwarded"),
        pytest.param(xff(CLIENT) + forwarded(f"for={CLIENT}"), CLIENT, id="both, of one mind"),
        pytest.param(xff(CLIENT) + forwarded("for=6.6.6.6"), PROXY, id="both, not of one mind"),
    ],
)
def test_who_it_is(headers: Headers, address: str) -> None:
    assert client_of(PROXY, False, headers, TRUSTED).address == address
    assert client_of(STRANGER, False, headers, TRUSTED) == Client(STRANGER, False)
    assert client_of(PROXY, True, headers, ()) == Client(PROXY, True)


@pytest.mark.parametrize(
    ("headers", "is_https"),
    [
        ([(b"x-forwarded-proto", b"https")], True),
        ([(b"x-forwarded-proto", b"HTTPS")], True),
        ([(b"x-forwarded-proto", b"https, http")], False),
        ([(b"x-forwarded-proto", b"http"), (b"x-forwarded-proto", b"https")], True),
        ([(b"x-forwarded-proto", b"gopher")], False),
        (forwarded("for=1.1.1.1;proto=https"), True),
        (forwarded("for=1.1.1.1;proto=https, for=2.2.2.2"), False),
        ([], False),
    ],
)
def test_whether_it_came_over_https(headers: Headers, is_https: bool) -> None:
    assert client_of(PROXY, False, headers, TRUSTED).is_https is is_https
    assert client_of(STRANGER, False, headers, TRUSTED).is_https is False
    assert client_of(STRANGER, True, headers, TRUSTED).is_https is True


def test_nobody_chooses_his_address_and_nothing_breaks() -> None:
    dice = random.Random(15)  # noqa: S311  no secret
    parts = [
        "6.6.6.6",
        "for=",
        "for=6.6.6.6",
        '"',
        "\\",
        ",",
        ";",
        "[",
        "]",
        ":",
        "%",
        "unknown",
        "=",
        "\x00",
        "é",
        " ",
    ]
    for _ in range(5000):
        junk = "".join(dice.choices(parts, k=dice.randrange(12)))
        by_list = client_of(PROXY, False, xff(junk, CLIENT), TRUSTED).address
        by_element = client_of(PROXY, False, forwarded(junk, f"for={CLIENT}"), TRUSTED).address
        assert by_list == CLIENT, junk
        assert by_element in (CLIENT, PROXY), junk


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_whose_address_it_is(address: str, owner: str) -> None:
    assert owner_of(address) == owner


def test_what_is_no_network_is_refused_at_the_start() -> None:
    with pytest.raises(WrongSettings, match=r"SHOP_TRUSTED_PROXIES='10.0.0.1/8'.*192.168.0.0/16"):
        load(Settings, {"SHOP_TRUSTED_PROXIES": "10.0.0.1/8"})
    assert load(Settings, {"SHOP_TRUSTED_PROXIES": "10.0.0.0/8,::1"}).trusted_proxies
