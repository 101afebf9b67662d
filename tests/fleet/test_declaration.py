"""The declaration of services, and what follows from it: ports, addresses, environments."""

from pathlib import Path

import pytest

from deploy.databases import url_as
from deploy.local.__main__ import print_urls
from deploy.local.errors import FleetError
from deploy.local.layout import layout
from deploy.local.settings import replica_program, service_environment
from deploy.services import DeclarationError, load_services


def test_services_in_start_order() -> None:
    names = [service.name for service in load_services({})]
    assert names[:6] == ["pg", "query", "user", "item", "coupon", "order"]
    assert names[-1] == "gateway"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[service]]\nname = "Order"\nports = 1', "needs a name"),
        ('[[service]]\nname = "order"', "needs `ports`"),
        ('[[service]]\nname = "order"\nports = 1\ncolour = 3', "colour"),
        ('[[service]]\nname = "order"\nports = 1\nreplicas = 10', "replicas"),
        ('[[service]]\nname = "order"\nports = 65', "1..69 or 90..98"),
        ('[[service]]\nname = "order"\nports = 98\nmost = 2', "1..69 or 90..98"),
        ('[[service]]\nname = "order"\nports = 1\nmost = 10', "most must be 1 to 9"),
        ('[[service]]\nname = "order"\nports = 1\nmost = 2\nreplicas = 3', "replicas must be 1 to 2"),
        (
            '[[service]]\nname = "a"\nports = 90\nmost = 3\n[[service]]\nname = "b"\nports = 92\nmost = 1',
            "base[+]92",
        ),
        ('[[service]]\nname = "a"\nports = 1\n[[service]]\nname = "b"\nports = 9', "share port base[+]9"),
        ('[[service]]\nname = "a"\nports = 1\n[[service]]\nname = "a"\nports = 20', "two services"),
        ('[[service]]\nname = "bank"\nports = 75', "1..69"),
        ('[[service]]\nname = "bank"\nports = 75\noutside = true\nreplicas = 2', "one process"),
        ("[[service", "services.toml"),
    ],
)
def test_wrong_declarations_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "services.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError, match=complaint):
        load_services({"SHOP_SERVICES_FILE": str(file)})


def test_every_port_lies_within_a_hundred_of_the_base_and_belongs_to_one() -> None:
    at = layout({"SHOP_PORT_BASE": "9100"})
    ports = [at.base, at.amqp_port, at.management_port, at.epmd_port, at.distribution_port, at.database_port]
    ports += [at.control_port, at.notices_port, *at.tool_ports]
    ports += [service.port(at.base, k) for service in at.services for k in range(1, service.most + 1)]
    assert len(ports) == len(set(ports))
    assert min(ports) == 9100
    assert max(ports) < 9200


@pytest.mark.parametrize("wrong", ["eighty", "80", "65500", "-1", "٨٠٠٠"])
def test_a_wrong_port_base_is_named(wrong: str) -> None:
    with pytest.raises(FleetError, match="SHOP_PORT_BASE"):
        layout({"SHOP_PORT_BASE": wrong})


def test_a_service_is_told_its_own_database_and_nobody_elses_password(tmp_path: Path) -> None:
    settings = {
        "SHOP_DATABASE_ADMIN_URL": "mysql://root:hidden@db:3307/",
        "SHOP_ORDER_DEADLINE_S": "3",
        "SHOP_RUN_DIR": str(tmp_path),
    }
    at = layout(settings)
    order = service_environment(at, at.service("order"), settings)
    password = at.database_password("order_svc")
    assert order["SHOP_DATABASE_URL"] == f"mysql://order_svc:{password}@db:3307/order_svc"
    assert password not in str(service_environment(at, at.service("item"), settings))
    assert order["SHOP_CALL_KEY_FILE"].endswith("secrets/call-key-order-svc")
    assert order["SHOP_ORDER_DEADLINE_S"] == "3"
    assert "hidden" not in str(order)
    assert "SHOP_DATABASE_URL" not in service_environment(at, at.service("gateway"), settings)


def test_which_programs_servers_are_is_not_told_to_services() -> None:
    settings = {"SHOP_MYSQLD": "/opt/mysqld", "SHOP_RABBITMQ_SERVER": "/opt/rabbitmq-server"}
    at = layout(settings)
    assert (at.database_program, at.broker_program) == ("/opt/mysqld", "/opt/rabbitmq-server")
    assert not settings.keys() & service_environment(at, at.service("order"), settings).keys()


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ({"SHOP_PORT_BASE": "9100"}, "http://127.0.0.1:9171"),
        (
            {"SHOP_AMQP_URL": "amqp://mq/", "SHOP_MANAGEMENT_URL": "https://a:secret@mq.test:15671/ui"},
            "https://mq.test:15671/ui",
        ),
        ({"SHOP_AMQP_URL": "amqp://mq/"}, None),
    ],
)
def test_people_are_shown_the_management_ui_without_a_password(
    settings: dict[str, str], page: str | None
) -> None:
    assert layout(settings).management_page == page


def test_what_is_printed_says_how_to_make_an_unknown_management_ui_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_urls(layout({"SHOP_AMQP_URL": "amqp://mq/"}))
    assert "management UI   unknown (SHOP_MANAGEMENT_URL=http://" in capsys.readouterr().out
    print_urls(
        layout({"SHOP_AMQP_URL": "amqp://mq/", "SHOP_MANAGEMENT_URL": "http://a:secret@mq.test:15672"})
    )
    shown = capsys.readouterr().out
    assert "management UI   http://mq.test:15672\n" in shown
    assert ":secret" not in shown


def test_a_replica_is_told_its_number_and_ports(tmp_path: Path) -> None:
    at = layout({"SHOP_PORT_BASE": "9100", "SHOP_RUN_DIR": str(tmp_path)})
    second = replica_program(at, at.service("gateway"), 2, {}).environment
    assert second["SHOP_INSTANCE"] == "2"
    assert second["SHOP_SERVICE_PORT"] == "9102"
    assert second["SHOP_PUBLIC_PORT"] == "9100"
    assert "order=http://127.0.0.1:9140-9148" in second["SHOP_PEERS"].split()
    assert "gateway" not in second["SHOP_PEERS"]


def test_servers_bear_any_folder_through_a_plain_name(tmp_path: Path) -> None:
    plain = layout({"SHOP_RUN_DIR": "/srv/shop"})
    assert plain.plain_dir == plain.run_dir
    for odd in (tmp_path / "it's", tmp_path / "a b", tmp_path / ("deep/" * 30)):
        at = layout({"SHOP_RUN_DIR": str(odd)})
        assert at.plain_dir != at.run_dir
        assert len(str(at.database_socket)) < 104


def test_urls_of_other_users() -> None:
    assert url_as("mysql://root:x@[::1]/", "a", "p/w", "b") == "mysql://a:p%2Fw@[::1]:3306/b"


def test_services_find_who_is_outside_and_it_keeps_its_journal_beside_the_run() -> None:
    at = layout({"SHOP_PORT_BASE": "9100", "SHOP_RUN_DIR": "/srv/shop"})
    assert (
        replica_program(at, at.service("payment"), 1, {}).environment["SHOP_PG_URL"]
        == "http://127.0.0.1:9175"
    )
    outside = replica_program(at, at.service("pg"), 1, {}).environment
    assert outside["SHOP_SERVICE_PORT"] == "9175"
    assert outside["SHOP_PG_JOURNAL"] == "/srv/shop/pg.jsonl"
    assert "pg=" not in outside["SHOP_PEERS"]
    assert "SHOP_PG_URL" in replica_program(at, at.service("gateway"), 1, {}).environment
