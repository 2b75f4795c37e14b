"""`payi-instrument keys`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import postgres
import pytest
from command import payi

from payi_instrument.cli.ledger import open_ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db"


def create(url: str, *arguments: str) -> str:
    return payi("keys", "create", "--database-url", url, "--application", "shop", *arguments)[-1]


def caller(url: str, key: str) -> tuple[str, str] | None:
    with open_ledger(url) as store, store.reading() as ledger:
        return ledger.keys.caller(key)


def test_a_key_stands_alone_on_the_last_line_and_is_shown_once(url: str, tmp_path: Path) -> None:
    explained = payi("keys", "create", "--database-url", url, "--application", "shop")
    key = explained[-1]

    assert caller(url, key) == ("shop", "admin")
    assert len(explained) > 1
    assert not any(key in line for line in explained[:-1])
    listed = "\n".join(payi("keys", "list", "--database-url", url))
    _, key_id, secret = key.split("_")
    assert key_id in listed
    assert secret not in listed
    assert secret.encode() not in (tmp_path / "l.db").read_bytes()


def test_a_key_is_rotated(url: str) -> None:
    with open_ledger(url, make=True) as store, store.transaction("keys") as ledger:
        old, new = (ledger.keys.create("shop", "ingest", datetime.now(UTC)) for _ in range(2))
    arguments = ("--database-url", url, "--application", "shop", "--scope", "ingest")
    [line] = payi("keys", "create", *arguments, returns=2)
    assert line.endswith("revoke one first")
    [revoked] = payi("keys", "revoke", old.key_id, "--database-url", url)

    assert "is revoked since" in revoked
    assert (caller(url, str(old)), caller(url, str(new))) == (None, ("shop", "ingest"))
    assert caller(url, create(url, "--scope", "ingest")) == ("shop", "ingest")
    shown = [line.split("\t") for line in payi("keys", "list", "--database-url", url)]
    assert [row[1:3] for row in shown[1:]] == [["shop", "ingest"]] * 3
    assert {row[0] for row in shown[1:] if row[4] != "-"} == {old.key_id}


def test_keys_are_kept_in_postgresql_too() -> None:
    url = postgres.empty_ledger()

    assert caller(url, create(url, "--scope", "read")) == ("shop", "read")


def test_what_can_not_be_done_is_said(url: str) -> None:
    create(url)
    [unknown] = payi("keys", "revoke", "nobody", "--database-url", url, returns=2)
    [scope] = payi("keys", "create", "--database-url", url, "--application", "x", "--scope", "root", returns=2)

    assert "'nobody' is unknown" in unknown
    assert "'root' is not one of admin, ingest, read" in scope
    assert "Missing option '--application'." in payi("keys", "create", "--database-url", url, returns=2)[-1]
