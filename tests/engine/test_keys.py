"""API keys: their text, what is kept of them, what their scopes may call. Row E-7, decision 16."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import postgres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_instrument.cli.ledger import open_ledger
from payi_instrument.engine.keys import SCOPES, Key, may_call
from payi_instrument.errors import PayiError
from payi_instrument.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payi_instrument.engine.store_core.keys import KeyRows

NOW = datetime(2026, 1, 31, tzinfo=UTC)
HEX = "0123456789abcdef"


def test_a_key_is_read_as_it_was_made() -> None:
    key = Key.new()

    assert Key.parse(str(key)) == key
    assert str(key) == f"payi_{key.key_id}_{key.secret}"
    assert len(key.secret) * 4 >= 128
    assert key.matches(key.hashed())
    assert not key.matches(Key.new().hashed())
    assert len({Key.new().secret for _ in range(100)}) == 100


def test_a_key_is_not_shown_by_accident() -> None:
    key = Key.new()

    assert key.secret not in repr(key)
    assert key.secret not in key.hashed()


@given(st.text() | st.from_regex(r"payi_[0-9a-f]{11,13}_[0-9a-f]{39,41}\n?", fullmatch=True))
def test_only_the_text_of_a_key_is_read_as_one(text: str) -> None:
    key = Key.parse(text)

    assert key is None or str(key) == text
    assert (key is not None) == (
        len(text) == 58 and text[:5] == "payi_" and text[17] == "_" and {*text[5:17], *text[18:]} <= {*HEX}
    )


INGEST = {
    "ingest.units",
    "ingest.bulk",
    "holds.create",
    "holds.renew",
    "holds.release",
    "capabilities",
    "limits.retrieve",
    "requests.request_id.result.retrieve",
    "requests.request_id.properties.update",
    "use_cases.create",
    "use_cases.kpis.update",
}


def test_scopes_open_what_they_say() -> None:
    opened = {scope: {operation.name for operation in OPERATIONS if may_call(scope, operation)} for scope in SCOPES}

    assert opened == {
        "admin": {operation.name for operation in OPERATIONS},
        "read": {operation.name for operation in OPERATIONS if operation.method == "GET"},
        "ingest": INGEST,
    }
    assert not any(may_call("root", operation) for operation in OPERATIONS)


@pytest.fixture(params=["sqlite", "postgres"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyRows]:
    url = postgres.empty_ledger() if request.param == "postgres" else f"sqlite:///{tmp_path}/l.db"
    with open_ledger(url, make=True) as store, store.transaction("keys") as ledger:
        yield ledger.keys


def test_a_key_opens_its_application_until_it_is_revoked(rows: KeyRows) -> None:
    key, other = rows.create("shop", "read", NOW), rows.create("bank", "admin", NOW)

    assert rows.caller(str(key)) == ("shop", "read")
    assert rows.caller(str(other)) == ("bank", "admin")
    assert rows.revoke(key.key_id, NOW)["revoked"] == NOW
    assert rows.caller(str(key)) is None
    assert rows.caller(str(other)) == ("bank", "admin")


def test_what_is_no_key_opens_nothing(rows: KeyRows) -> None:
    key, other = rows.create("shop", "read", NOW), rows.create("shop", "read", NOW)

    for text in ("", "x", str(Key.new()), str(Key(key.key_id, other.secret)), f"{key} ", str(key).upper()):
        assert rows.caller(text) is None


def test_two_keys_of_an_application_and_scope_are_live_at_most(rows: KeyRows) -> None:
    first, second = rows.create("shop", "admin", NOW), rows.create("shop", "admin", NOW)
    with pytest.raises(PayiError, match=r"2 live keys of scope admin.*revoke one first") as refused:
        rows.create("shop", "admin", NOW)

    assert {first.key_id, second.key_id} <= {*str(refused.value).replace(";", "").split()}
    rows.create("shop", "ingest", NOW)
    rows.create("bank", "admin", NOW)
    rows.revoke(first.key_id, NOW)
    assert rows.caller(str(rows.create("shop", "admin", NOW))) == ("shop", "admin")


def test_a_second_revocation_changes_nothing(rows: KeyRows) -> None:
    key = rows.create("shop", "admin", NOW)
    rows.revoke(key.key_id, NOW)

    assert rows.revoke(key.key_id, datetime.now(UTC))["revoked"] == NOW
    with pytest.raises(PayiError, match="'nobody' is unknown"):
        rows.revoke("nobody", NOW)


@pytest.mark.parametrize(("application", "scope"), [("shop", "root"), ("shop", ""), (" ", "admin"), ("a\nb", "admin")])
def test_a_key_for_nobody_or_nothing_is_refused(rows: KeyRows, application: str, scope: str) -> None:
    bad = f"application: {application!r}" if scope == "admin" else f"scope: {scope!r}"
    with pytest.raises(PayiError, match=re.escape(bad)):
        rows.create(application, scope, NOW)


def test_the_ledger_holds_no_secret(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    with open_ledger(url, make=True) as store, store.transaction("keys") as ledger:
        key = ledger.keys.create("shop", "admin", NOW)
        [shown] = ledger.keys.all()

    assert shown == {"key_id": key.key_id, "application": "shop", "scope": "admin", "created": NOW, "revoked": None}
    assert key.secret.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
