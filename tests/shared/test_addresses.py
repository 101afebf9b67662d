"""Settings that name servers: what is read, what is refused and how, and in which order they are tried."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import AMQP, DATABASE, DATABASE_SERVER, HTTP, Kind, Server, Servers, parse, to_try
from shared.settings import Settings, WrongSettings, load
from shared.tls import Tls

A, B, C = parse("amqp://a,b,c/", AMQP)


def places(text: str, kind: Kind = AMQP) -> list[str]:
    return [str(server) for server in parse(text, kind)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqp://u:p@a:1/", ["a:1"]),
        ("amqp://a", ["a:5672"]),
        ("amqps://a", ["a:5671"]),
        ("amqp://u:p@a:1,b:2,c/", ["a:1", "b:2", "c:5672"]),
        ("amqp://u:p@a:1/,amqp://u:p@b:2/", ["a:1", "b:2"]),
        ("amqp://u:p@a:1/ amqps://u:p@b:2/\namqp://[::1]:3", ["a:1", "b:2", "[::1]:3"]),
        (" amqp://a:1/, ", ["a:1"]),
        ("amqp://u:p, p@a:1,b:1/", ["a:1", "b:1"]),
    ],
)
def test_one_server_or_several(text: str, expected: list[str]):
    assert places(text) == expected


def test_what_is_said_of_a_server():
    first, second = parse("mysql://u%40x:p%2Fw@a,b:1/name?tls=verify&ca=/c.pem&cert=/d.pem", DATABASE)
    assert (first.user, first.password, first.path) == ("u@x", "p/w", "/name")
    assert first.tls == Tls(verify=True, ca="/c.pem", cert="/d.pem")
    assert second == first._replace(host="b", port=1)
    assert first.url() == "mysql://u%40x:p%2Fw@a:3306/name"
    assert parse("amqp://h", AMQP)[0].user is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("?tls=off", None),
        ("?tls=on", Tls(verify=False)),
        ("?tls=verify", Tls()),
        ("?ca=/a", Tls(ca="/a")),
        ("?tls=on&cert=/b&key=/c", Tls(verify=False, cert="/b", key="/c")),
    ],
)
def test_how_the_way_is_secured(query: str, expected: Tls | None):
    assert parse(f"amqp://a/{query}", AMQP)[0].tls == expected
    if expected is None and not query:
        assert parse("amqps://a/", AMQP)[0].tls == Tls()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("amqp://u:hunter2@a/?heartbeat=3", AMQP, "'heartbeat'; allowed are tls, ca, cert, key"),
        ("amqp://u:hunter2@a/?tls=yes", AMQP, "allowed are off, on"),
        ("amqp://u:hunter2@a/?tls=on&tls=off", AMQP, "two values"),
        ("amqp://u:hunter2@a/?ca=", AMQP, "no value"),
        ("amqp://u:hunter2@a/?tls=off&ca=/x", AMQP, "contradicts ca"),
        ("amqps://u:hunter2@a/?tls=off", AMQP, "contradicts the scheme"),
        ("amqp://u:hunter2@a/?key=/x", AMQP, "key without cert"),
        ("amqp://u:hunter2@a/?tls=on&ca=/x", AMQP, "say tls=verify"),
        ("http://u:hunter2@a/", AMQP, "expected amqp://user:password@host:5672/"),
        ("a:5672", AMQP, "expected amqp://"),
        ("", AMQP, "expected amqp://"),
        ("amqp://u:hunter2@a:1,/", AMQP, "a host is missing"),
        ("amqp://u:hunter2@a:port/", AMQP, "no number from 1 to 65535"),
        ("amqp://u:hunter2@a:99999/", AMQP, "no number from 1 to 65535"),
        ("amqp://u:hunter2@[::1/", AMQP, "expected amqp://"),
        ("amqp://u:hunter2@a/,amqp://a:5672/", AMQP, "twice"),
        ("mysql://u:hunter2@a/", DATABASE, "no database is named"),
        ("mysql://u:hunter2@a/x#y", DATABASE, "expected mysql://"),
        ("amqp://u:hunter2/3@a/", AMQP, "no number"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_is_allowed(text: str, kind: Kind, said: str):
    with pytest.raises(ValueError, match=r".") as refused:
        parse(text, kind)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


servers = st.builds(
    Server,
    scheme=st.just("mysql"),
    host=st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True) | st.just("::1"),
    port=st.integers(1, 65535),
    user=st.text(min_size=1),
    password=st.none() | st.text(),
    path=st.from_regex(r"/[a-z_]{1,10}", fullmatch=True),
    tls=st.none() | st.builds(Tls, st.just(True), *[st.none() | st.text(min_size=1)] * 2, st.none()),
)


@given(st.lists(servers, min_size=1, max_size=4, unique_by=lambda server: server.place))
def test_what_is_written_is_read_again(several: list[Server]):
    for between in (",", " ", "\n", ", "):
        assert parse(between.join(server.setting() for server in several), DATABASE) == tuple(several)


def test_settings_refuse_what_nobody_reads_at_start():
    with pytest.raises(WrongSettings) as refused:
        load(
            Settings,
            {
                "SHOP_AMQP_URL": "amqp://a/?heartbeats=3",
                "SHOP_DATABASE_URL": "mysql://a/x?ssl=1",
                "SHOP_PEERS": "item=a",
            },
        )
    told = str(refused.value)
    assert all(name in told for name in ("'heartbeats'", "'ssl'", "is no peer"))


@pytest.mark.parametrize("kind", [AMQP, DATABASE_SERVER, DATABASE, HTTP])
def test_the_example_of_a_kind_is_one(kind: Kind):
    assert len(parse(kind.example, kind)) == 1


# In which order ---------------------------------------------------------------------------------------------


def as_written(several: object, number: int) -> list[Server]:
    return list(several)[:number]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, (), [A, B, C]),
        (C.place, (), [C, A, B]),
        (None, [A.place], [B, C, A]),
        (C.place, [A.place], [C, B, A]),
        (None, [A.place, B.place, C.place], [A, B, C]),
        (("gone", 1), (), [A, B, C]),
    ],
)
def test_who_is_tried_first_and_last(
    first: tuple[str, int], last: list[tuple[str, int]], expected: list[Server]
):
    assert to_try((A, B, C), first=first, last=last, draw=as_written) == expected


def test_the_others_are_tried_at_random():
    began = Counter(to_try((A, B, C), last=[C.place])[0] for _ in range(400))
    assert set(began) == {A, B}
    assert min(began.values()) > 100


def test_a_file_is_read_anew_and_what_it_does_not_finish_changes_nothing(tmp_path: Path):
    file = tmp_path / "url"
    file.write_text("amqp://u:old@a/")
    known = Servers(file.read_text, AMQP)
    assert [server.password for server in known.now()] == ["old"]
    file.write_text("amqp://u:ne")
    assert [server.password for server in known.now()] == ["old"]
    file.write_text("amqp://u:new@a,b/")
    assert [server.password for server in known.now()] == ["new", "new"]
    assert known.text == "amqp://u:new@a,b/"
