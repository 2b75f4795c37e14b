"""`payi_instrument.types`: the same names for a checker and at run time, loaded when they are used."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from fresh_process import run

from payi_instrument import types


@pytest.mark.parametrize("name", types.__all__)
def test_every_type_is_there(name: str) -> None:
    assert getattr(types, name) is not None
    assert name in dir(types)


def test_type_checkers_see_the_names_that_run_time_has() -> None:
    tree = ast.parse(Path(str(types.__file__)).read_text())
    [checked] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    aliases = {
        target.id: ast.unparse(node.value)
        for node in checked.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert {*seen, *aliases} == set(types.__all__)
    for name, home in seen.items():
        assert getattr(types, name) is getattr(sys.modules[str(home)], name)
    for alias, meaning in aliases.items():
        assert getattr(types, alias) == eval(meaning, vars(types))


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(ImportError, match="NoSuchResponse"):
        exec("from payi_instrument.types import NoSuchResponse")


def test_the_view_loads_nothing_until_it_is_used() -> None:
    program = """
        import sys
        import payi_instrument
        view = payi_instrument.types
        assert not {"pydantic", "httpx", "httpx2", "asyncio"} & sys.modules.keys()
        print(view.LimitResponse.__name__, "pydantic" in sys.modules, "httpx2" in sys.modules)
    """
    assert run(program) == "LimitResponse True False"
