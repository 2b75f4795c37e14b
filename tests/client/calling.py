"""A client called by name, sync or awaited, so that one test says what both do."""

from __future__ import annotations

import asyncio
import inspect
from operator import attrgetter
from typing import Any, Self

from payi_instrument import AsyncPayi, Payi


class Caller:
    """Call `limits.create` and the like of a client; `library` is the HTTP library in use."""

    def __init__(self, library: str, *, awaited: bool) -> None:
        self.library = library
        self.awaited = awaited
        self._runner = asyncio.Runner() if awaited else None
        self._clients: list[Any] = []

    def open(self, base_url: str | None, **options: Any) -> Any:
        """Make the client that is called from now on; retries come without a pause unless a test says otherwise."""
        kind: Any = AsyncPayi if self.awaited else Payi
        return self.use(kind(**{"api_key": "k", "base_url": base_url, **options}))

    def use(self, client: Any) -> Any:
        self._clients.append(client)
        return client

    @property
    def client(self) -> Any:
        return self._clients[-1]

    def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self.wait(attrgetter(name)(self.client), *args, **kwargs)

    def wait(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function and wait for what it gives, if that has to be awaited."""

        async def answer() -> Any:
            given = function(*args, **kwargs)
            return await given if inspect.isawaitable(given) else given

        return function(*args, **kwargs) if self._runner is None else self._runner.run(answer())

    def items(self, page: Any) -> list[Any]:
        """Return everything that a listing walks through."""

        async def all_items() -> list[Any]:
            return [item async for item in page]

        return list(page) if self._runner is None else self._runner.run(all_items())

    def inside(self, block: Any, use: Any) -> Any:
        """Enter a `with` or `async with` block and return what `use` makes of it."""

        async def used() -> Any:
            async with block as inner:
                given = use(inner)
                return await given if inspect.isawaitable(given) else given

        if self._runner is not None:
            return self._runner.run(used())
        with block as inner:
            return use(inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            self.wait(client.close)
        if self._runner is not None:
            self._runner.close()
