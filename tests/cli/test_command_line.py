"""The command line as a whole: what it says when it can't work, and to whom it prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command import PROGRAM, payi

from payi_instrument.cli.ledger import open_ledger
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("library", "extra"), [("typer", "cli"), ("rich", "cli"), ("sqlalchemy", "local")])
def test_a_missing_extra_is_named(tmp_path: Path, library: str, extra: str) -> None:
    without = f"import sys; sys.modules[{library!r}] = None\n"
    [line] = payi("db", "upgrade", "--database-url", f"sqlite:///{tmp_path}/l.db", returns=2, before=without)

    assert line.startswith("payi-instrument: the ")
    assert line.endswith(f"needs the extra '{extra}': pip install 'payi-instrument[{extra}]'")


def test_without_a_command_it_says_what_there_is() -> None:
    shown = "\n".join(payi("--help"))

    assert "keys" in shown
    assert "db" in shown
    assert "older-than" in "\n".join(payi("db", "prune", "--help"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite://", "memory of one process; name a file"),
        ("sqlite:///:memory:", "memory of one process; name a file"),
        ("sqlite://l.db", "write sqlite:///relative.db"),
        ("sqlite:////tmp/l.db?mode=x", "option 'mode' is unknown"),
        ("mysql://user:secret@host/db", "mysql://…: no ledger can be there"),
        ("l.db", "no ledger can be there"),
        ("sqlite:////nowhere/l.db", "there is no ledger at /nowhere/l.db: check --database-url"),
    ],
)
def test_a_url_that_names_no_ledger_is_refused(url: str, problem: str) -> None:
    with pytest.raises(PayiError) as refused, open_ledger(url):
        pass

    assert problem in str(refused.value)
    assert "secret" not in str(refused.value)


def test_nothing_is_made_by_a_typo(tmp_path: Path) -> None:
    [line] = payi("db", "verify", "--database-url", f"sqlite:///{tmp_path}/typo.db", returns=2)

    assert line.startswith(f"payi-instrument: there is no ledger at {tmp_path}/typo.db: check --database-url")
    assert not any(tmp_path.iterdir())


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    create = ("keys", "create", "--database-url", f"sqlite:///{tmp_path}/l.db", "--application")
    [line] = payi(*create, os.fsdecode(b"\xff"), returns=2)

    assert "surrogates not allowed" in line


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("some notes of mine")
    [line] = payi("db", "upgrade", "--database-url", f"sqlite:///{tmp_path}/notes.db", returns=2)

    assert f"can't open the ledger {tmp_path}/notes.db" in line
    assert (tmp_path / "notes.db").read_text() == "some notes of mine"


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    key_id = payi("keys", "create", "--database-url", url, "--application", "[red]shop")[-1].split("_")[1]
    plain = payi("keys", "list", "--database-url", url)
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", PROGRAM, "keys", "list", "--database-url", url],
        stdout=theirs,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "100"},
        timeout=60,
        check=True,
    )
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)

    assert [line.split("\t")[:3] for line in plain] == [
        ["key_id", "application", "scope"],
        [key_id, "[red]shop", "admin"],
    ]
    assert "│" in shown or "|" in shown
    assert f"{key_id} │ [red]shop" in shown
