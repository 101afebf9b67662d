"""The tables of what is measured beside the shop, a database a service, named and meant as ours are."""

from typing import Any

import pymysql

from shared.collation import COLLATION

QUEUES = ("item", "coupon", "reserved", "applied")
"""Their durable queues, without the word that each is called by."""

_CLAIMS = "CREATE TABLE claims (order_id CHAR(36) PRIMARY KEY, ok TINYINT NOT NULL)"
_OUTBOX = (
    "CREATE TABLE outbox"
    " (id CHAR(36) PRIMARY KEY, routing_key VARCHAR(60) NOT NULL, body MEDIUMTEXT NOT NULL)"
)
_DATABASES = {
    "order": (
        "CREATE TABLE orders (id CHAR(36) PRIMARY KEY, buyer_id BIGINT NOT NULL, status VARCHAR(10) NOT NULL,"
        " total BIGINT NOT NULL, `lines` TEXT NOT NULL, item_ok TINYINT NULL, coupon_ok TINYINT NULL)",
        _OUTBOX,
    ),
    "item": (
        "CREATE TABLE items (id BIGINT PRIMARY KEY, price BIGINT NOT NULL, stock BIGINT NOT NULL)",
        _CLAIMS,
        _OUTBOX,
    ),
    "coupon": (
        "CREATE TABLE user_coupons (id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL, discount BIGINT NOT NULL,"
        " used_by CHAR(36) NULL)",
        _CLAIMS,
        _OUTBOX,
    ),
}


def create(connection: "pymysql.connections.Connection[Any]", word: str) -> None:
    """Make everything anew."""
    with connection.cursor() as cursor:
        for service, statements in _DATABASES.items():
            cursor.execute(f"DROP DATABASE IF EXISTS {word}_{service}")
            cursor.execute(f"CREATE DATABASE {word}_{service} CHARACTER SET utf8mb4 COLLATE {COLLATION}")
            cursor.execute(f"USE {word}_{service}")
            for statement in statements:
                cursor.execute(statement)


def drop(connection: "pymysql.connections.Connection[Any]", word: str) -> None:
    """Leave nothing."""
    with connection.cursor() as cursor:
        for service in _DATABASES:
            cursor.execute(f"DROP DATABASE IF EXISTS {word}_{service}")
