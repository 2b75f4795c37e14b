"""What the configuration prices calls as, where the provider's own names do not say it: by host, by model.

Azure names a deployment and not the model in it, and behind a host of one's own may be anyone's models. Read once, at
`payi_instrument()`, and looked up when a call's event is made. Source: instrumentation-semantics sections 2.1 and 6.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, cast

from payi_instrument.event import UNKNOWN_MODEL
from payi_instrument.guard import logger
from payi_instrument.wire.headers import PayiCategories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payi_instrument.config import Config
    from payi_instrument.event import Attribution, CallFacts

Host = tuple[str, int | None]
"""A host's name in lower case and its port; None stands for any port."""

_OPENAI = "openai"
_OPENAI_ON_AZURE = "config['openai_config']['azure']"
_AZURE = frozenset({PayiCategories.azure_openai, PayiCategories.azure})
_MOST_WARNINGS = 100
"""How many deployments are warned about: names may come from whoever calls the program."""


@dataclass(frozen=True, slots=True)
class ModelMapping:
    """Say what calls of a model, on one host or on any, are priced as; None leaves a name as it is."""

    model: str
    host: Host | None
    price_as_category: str | None
    price_as_resource: str | None
    resource_scope: str | None


@dataclass(frozen=True, slots=True)
class Mappings:
    """Hold the mappings of one `payi_instrument()`.

    `hosts` gives categories; `models` gives the model mappings of an SDK, by its name and whether the call is Azure's.
    """

    hosts: Mapping[Host, str]
    models: Mapping[tuple[str, bool], Sequence[ModelMapping]]
    warned: set[str] = field(default_factory=set[str])

    def named(self, library: str, facts: CallFacts, who: Attribution) -> str | None:
        """Return the model that a header, a scope or a mapping names for a call before it is made, None where none does."""
        if who.price_as_category or who.price_as_resource:
            return who.price_as_resource
        entries = self.models.get((library, facts.category in _AZURE))
        mapping = _first(entries, facts.resource, facts.host) if entries else None
        return None if mapping is None else mapping.price_as_resource or mapping.model

    def price_as(
        self, library: str, facts: CallFacts, who: Attribution, answered: str | None
    ) -> tuple[str, str, Attribution]:
        """Return the category and the resource that a call is priced as, and its attribution with the resource's scope.

        `library` is the SDK's package, `answered` the model that the answer names. What a header or a scope prices the
        call as counts first and leaves no room for a model mapping; that comes before the host's, and both before
        what the provider's file read. Of a host that chooses models, the one that answered is paid.
        """
        asked = facts.resource or answered
        model = answered if facts.routed and answered else asked
        category = who.price_as_category or (self._category(facts.host) if self.hosts else None)
        if who.price_as_category or who.price_as_resource:
            return category or facts.category, who.price_as_resource or model or UNKNOWN_MODEL, who
        on_azure = facts.category in _AZURE
        mapping = None
        if entries := self.models.get((library, on_azure)):
            mapping = _first(entries, asked, facts.host)
        if mapping is None:
            if on_azure and category is None and facts.resource and library == _OPENAI:
                self._warn(facts.resource)
            return category or facts.category, model or UNKNOWN_MODEL, who
        if mapping.resource_scope and not who.resource_scope:
            who = replace(who, resource_scope=mapping.resource_scope)
        return (
            mapping.price_as_category or category or facts.category,
            mapping.price_as_resource or mapping.model,
            who,
        )

    def _category(self, host: str | None) -> str | None:
        return next((self.hosts[name] for name in _names(host) if name in self.hosts), None)

    def _warn(self, deployment: str) -> None:
        """Say once for each deployment that its name is taken for its model's, and how to say otherwise."""
        if deployment not in self.warned and len(self.warned) < _MOST_WARNINGS:
            self.warned.add(deployment)
            logger.warning(
                "payi: nothing maps the Azure deployment %r; it is priced as a model of that name. Name its model in"
                " %s['model_mappings']: {'model': %r, 'price_as_resource': …}",
                deployment,
                _OPENAI_ON_AZURE,
                deployment,
            )


def _first(entries: Sequence[ModelMapping], model: str | None, host: str | None) -> ModelMapping | None:
    for entry in entries:
        if entry.model == model and (entry.host is None or entry.host in _names(host)):
            return entry
    return None


@lru_cache(maxsize=256)  # a program has few base URLs
def _names(url: str | None) -> tuple[Host, ...]:
    """Return what mappings may call the host of a client's base URL, the most exact first."""
    scheme, host = _parse(url or "")
    if host is None:
        return ()
    name, port = host
    port = port or {"https": 443, "http": 80}.get(scheme)
    return ((name, None),) if port is None else ((name, port), (name, None))


_URL = re.compile(
    r"(?:(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?//)?"
    r"(?:[^/?#]*@)?"
    r"(?P<name>[\w.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?#].*)?",
    re.DOTALL,
)


def _parse(text: str) -> tuple[str, Host | None]:
    """Take a host, with or without port, or a URL apart: the scheme, "" without one, and None for what is no host."""
    found = _URL.fullmatch(text.strip().lower())
    if found is None:
        return "", None
    name, port = found["name"], int(found["port"] or 0)
    try:
        name = f"[{IPv6Address(name[1:-1])}]" if name.startswith("[") else name.encode("idna").decode()
    except ValueError:  # no address, or a label that DNS has no room for
        return "", None
    if port > _MAX_PORT or (found["port"] and not port):
        return "", None
    return found["scheme"] or "", (name, port or None)


_MAX_PORT = 65535


def read_mappings(config: Config) -> Mappings:
    """Read the mappings of a configuration; what it holds is copied.

    A host that is none, and a mapping without a `price_as_…`, is warned about and left out. Raises `TypeError` naming a
    value of the wrong type, `ValueError` naming an unknown or missing member or what is said twice.
    """
    path, azure_path = "config['openai_config']", _OPENAI_ON_AZURE
    openai = _members(path, config.openai_config, "model_mappings", "azure")
    azure = openai.get("azure")
    if config.azure_openai_config is not None:
        if azure is not None:
            msg = f"config['azure_openai_config'] is the old spelling of {azure_path}; both are given, leave out the old one"
            raise ValueError(msg)
        azure_path, azure = "config['azure_openai_config']", config.azure_openai_config
    return Mappings(
        _read_hosts(config.host_mappings),
        {
            (_OPENAI, False): _read_models(path, openai),
            (_OPENAI, True): _read_models(azure_path, _members(azure_path, azure, "model_mappings")),
        },
    )


def _read_hosts(given: Mapping[str, object] | None) -> dict[Host, str]:
    hosts: dict[Host, str] = {}
    for text, value in (given or {}).items():
        path = f"config['host_mappings'][{text!r}]"
        host = _host("config['host_mappings']", text)
        category = _text(path, _members(path, value, "price_as_category"), "price_as_category")
        if category is None:
            logger.warning("payi: %s says no price_as_category; it is left out", path)
        elif host is not None and hosts.setdefault(host, category) != category:
            msg = (
                f"{path}: {category!r}, but its host has {hosts[host]!r} already; paths do not count, name a host once"
            )
            raise ValueError(msg)
    return hosts


def _read_models(path: str, members: Mapping[str, object]) -> tuple[ModelMapping, ...]:
    path += "['model_mappings']"
    given = members.get("model_mappings")
    if given is None:
        return ()
    if not isinstance(given, (list, tuple)):
        msg = f"{path}: {given!r} is a {type(given).__name__}, expected a list of mappings"
        raise TypeError(msg)
    entries = [_read_model(f"{path}[{index}]", entry) for index, entry in enumerate(cast("Sequence[object]", given))]
    return tuple(entry for entry in entries if entry is not None)


def _read_model(path: str, given: object) -> ModelMapping | None:
    members = _members(path, given, "model", "host", "price_as_category", "price_as_resource", "resource_scope")
    texts = {name: _text(path, members, name) for name in members}
    model, host = texts.get("model"), texts.get("host")
    if model is None:
        msg = f"{path}: {given!r} has no 'model', expected the name that the calls use"
        raise ValueError(msg)
    mapping = ModelMapping(
        model,
        _host(f"{path}['host']", host) if host is not None else None,
        texts.get("price_as_category"),
        texts.get("price_as_resource"),
        texts.get("resource_scope"),
    )
    if host is not None and mapping.host is None:
        return None
    if mapping.price_as_category is None and mapping.price_as_resource is None:
        logger.warning("payi: %s says neither price_as_category nor price_as_resource; it is left out", path)
        return None
    return mapping


def _host(path: str, text: object) -> Host | None:
    """Read a host that is to be mapped; None, with a warning, for what is none."""
    if not isinstance(text, str):
        msg = f"{path}: {text!r} is a {type(text).__name__}, expected a host or a URL as str"
        raise TypeError(msg)
    _, host = _parse(text)
    if host is None:
        logger.warning(
            "payi: %s: %r is neither a host, like 'llm.example.com' or '[::1]:8080', nor a URL; its mapping is left out",
            path,
            text,
        )
    return host


def _members(path: str, value: object, *known: str) -> Mapping[str, object]:
    """Return the members of a mapping, {} of None. Raises `TypeError` or `ValueError` naming what does not belong."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        msg = f"{path}: {value!r} is a {type(value).__name__}, expected a mapping with {', '.join(known)}"
        raise TypeError(msg)
    members = cast("Mapping[str, object]", value)
    for name in members:
        if name not in known:
            msg = f"{path}[{name!r}]: unknown member; known are {', '.join(known)}"
            raise ValueError(msg)
    return members


def _text(path: str, members: Mapping[str, object], name: str) -> str | None:
    """Return a text, None for one that is absent or empty. Raises `TypeError` naming anything else."""
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        msg = f"{path}[{name!r}]: {value!r} is a {type(value).__name__}, expected str"
        raise TypeError(msg)
    return value or None
