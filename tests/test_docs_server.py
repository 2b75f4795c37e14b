"""What docs/server.md says is so: its options, metrics, scopes and grants are the code's, and its ten lines run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import postgres
import psycopg
import pytest

from payi_instrument import Payi
from payi_instrument.engine.address import Address
from payi_instrument.engine.keys import SCOPES, may_call
from payi_instrument.server.metrics import Metrics
from payi_instrument.wire.operations import OPERATIONS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
PROGRAM = "from payi_instrument.cli import main; main()"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def rows(*columns: str) -> dict[str, list[str]]:
    """Return the table with these columns: the first cell of each row, without its backticks, and the others."""
    head = re.escape(f"| {' | '.join(columns)} |")
    [body] = re.findall(rf"^{head}\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines()]
    return {line[0].strip("`"): line[1:] for line in lines}


def quoted(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


@cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command, "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def named_commands() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return every command that the page names, with the options that it names beside it."""
    found = re.findall(r"payi-instrument((?: [a-z]+)+)([^`|&)\n]*)", PAGE)
    return sorted({(tuple(words.split()), tuple(re.findall(r"--[a-z-]+", rest))) for words, rest in found})


@pytest.mark.parametrize(("command", "options"), named_commands(), ids=str)
def test_every_command_has_the_options_that_the_page_names(command: tuple[str, ...], options: tuple[str, ...]) -> None:
    assert set(options) <= set(re.findall(r"--[a-z-]+", help_of(command)))


def test_the_page_names_the_commands_that_an_operator_needs() -> None:
    commands = {" ".join(command) for command, _ in named_commands()}
    assert commands >= {
        "serve",
        "keys create",
        "keys list",
        "keys revoke",
        "db upgrade",
        "db verify",
        "db prune",
        "db erase",
    }


def test_the_options_of_serve_are_all_there_with_their_defaults() -> None:
    told = rows("option", "without it", "what it does")
    help_text = help_of(("serve",))

    assert set(told) == set(re.findall(r"--[a-z-]+", help_text)) - {"--help"}
    defaults = {name: quoted(without) for name, (without, _) in told.items()}
    for name, default in defaults.items():
        shown = re.search(rf"{name} [^-].*?(?= --[a-z]|$)", help_text)
        assert shown is not None
        assert re.findall(r"\[default: \(?([^];)]+)", shown[0]) == default, name


def test_the_scopes_may_call_what_the_page_says() -> None:
    told = rows("scope", "may call")
    may = {scope: sorted(operation.name for operation in OPERATIONS if may_call(scope, operation)) for scope in SCOPES}

    assert set(told) == set(SCOPES)
    assert told["admin"] == ["every operation"]
    assert may["admin"] == sorted(operation.name for operation in OPERATIONS)
    assert told["read"] == ["every GET, and `/metrics`"]
    assert may["read"] == sorted(operation.name for operation in OPERATIONS if operation.method == "GET")
    assert quoted(told["ingest"][0]) == may["ingest"]


def test_the_metrics_are_those_that_the_page_names() -> None:
    metrics = Metrics()
    metrics.committed(1)
    metrics.answered("ingest.units", 200, 0.001)
    metrics.rejected("invalid_api_key")
    text = metrics.text().decode()
    kinds = {
        name: kind for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE) if "_created" not in name
    }
    told = {name: kind for name, (kind, _) in rows("metric", "kind", "means").items()}

    assert {name: kind.split(",")[0] for name, kind in told.items()} == kinds
    for name, kind in told.items():
        labels = re.findall(rf"^{name}\w*{{(.*)}}", text, re.MULTILINE)
        assert {label for each in labels for label in re.findall(r"(\w+)=", each)} - {"le"} == set(quoted(kind)), name


def test_the_ten_lines_run(tmp_path: Path) -> None:
    """As they stand there, but for the port, which may be taken, and for what is installed already."""
    install, lines, *_ = blocks("sh")
    assert install.startswith("pip install 'payi-instrument[")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("payi-instrument", f"-c '{PROGRAM}'")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    path = {"PATH": f"{programs}{os.pathsep}{environment['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    script = f"set -eu\n{lines.replace('8000', port)}\nkill $!\nwait $!\n"
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**environment, **path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        shown, said = shell.communicate(timeout=100)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()

    assert shell.returncode == 0, said
    health, answer, spent = re.fullmatch(r"(\{.*?\})(\{.*\})([0-9.]+)\n", shown, re.DOTALL).groups()  # type: ignore[union-attr]
    assert json.loads(health) == {"status": "ok"}
    result = json.loads(answer)["xproxy_result"]
    assert result["limits"]["trial"]["state"] == "ok"
    assert result["cost"]["total"]["base"] == float(spent) == 0.0055


def test_the_grants_are_enough_for_a_role_that_owns_nothing() -> None:
    owner = postgres.new_database("granted")
    Address.of(owner).open().close()
    [grants] = blocks("sql")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS server")
        connection.execute("CREATE ROLE server LOGIN")
        connection.execute(grants.encode())
    url = owner.replace("postgres:@", "server@")
    with Payi(base_url=url) as client:
        client.limits.create(limit_name="a", limit_id="a", max=1)
        used = {"text": {"input": 1000, "output": 300}}
        client.ingest.units(category="system.openai", resource="gpt-4o", units=used, limit_ids=["a"], use_case_name="x")
        client.limits.reset("a")
    engine = Address.of(url).open()
    assert engine.caller(str(engine.new_key("default", "read"))) == ("default", "read")
    engine.close()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("DROP OWNED BY server")
        connection.execute("DROP ROLE server")
