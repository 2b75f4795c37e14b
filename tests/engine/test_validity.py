"""Which version prices an event, and when each one ends, against a resolver that tries them all.

Source: resources-semantics section 4.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from meters import Place

from payi_instrument.errors import APIStatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payi_instrument.wire.categories import CategoryResourceResponse

STARTS = st.integers(0, 9)
"""Ticks of a microsecond after the epoch, so that neighbours are as near as they can be."""
PRICES = st.sampled_from(["1", "2"])
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


def at(tick: int) -> datetime:
    return EPOCH + timedelta(microseconds=tick)


@contextmanager
def refused(code: str, *, when: bool) -> Iterator[None]:
    """Expect that the meter refuses what the block does with this code, but only then."""
    if not when:
        yield
        return
    with pytest.raises(APIStatusError) as caught:
        yield
    assert caught.value.code == code


@dataclass
class Modelled:
    """One version as the specification has it."""

    resource_id: str
    start: datetime
    price: str
    deleted: bool = False


@dataclass
class Resource:
    """All versions there ever were of one resource."""

    versions: list[Modelled] = field(default_factory=list[Modelled])

    def left(self) -> list[Modelled]:
        return sorted((version for version in self.versions if not version.deleted), key=lambda version: version.start)

    def gone(self) -> list[Modelled]:
        return [version for version in self.versions if version.deleted]

    def resolve(self, moment: datetime) -> Modelled | None:
        """Try every moment's version: the one with the greatest start that is not after it."""
        best: Modelled | None = None
        for version in self.left():
            if version.start <= moment and (best is None or version.start > best.start):
                best = version
        return best

    def end(self, version: Modelled) -> datetime | None:
        return min((other.start for other in self.left() if other.start > version.start), default=None)


class ValidityMachine(RuleBasedStateMachine):
    """Create and delete versions as anybody may, use them at any time, and compare."""

    meter = "sqlite"

    @initialize()
    def open(self) -> None:
        self.place = Place(self.meter)
        self.client = self.place.open()
        self.resource = Resource()
        self.priced: dict[str, tuple[str, str]] = {}
        self.kept: str | None = None
        self.keep()

    def teardown(self) -> None:
        self.place.close()

    @rule()
    def keep(self) -> None:
        """Let the category have another resource."""
        made = self.client.categories.resources.create("kept", category="c", units={"text": {}})
        assert self.kept in {None, made.resource_id}
        self.kept = made.resource_id
        assert "c" in {item.category for item in self.client.categories.list()}

    @rule(price=PRICES)
    def create_now(self, price: str) -> None:
        """Say no start: what is valid now is the same, or the version begins now."""
        valid = self.resource.resolve(datetime.now(UTC))
        asked = datetime.now(UTC)
        made = self.client.categories.resources.create("r", category="c", units={"text": {"input_price": float(price)}})
        if valid is None or valid.price != price:
            assert asked <= made.start_timestamp <= datetime.now(UTC)
            assert made.resource_id not in {version.resource_id for version in self.resource.versions}
            valid = Modelled(made.resource_id, made.start_timestamp, price)
            self.resource.versions.append(valid)
        self.compare(made, valid)

    @rule(start=STARTS | st.just(None), price=PRICES)
    def create(self, start: int | None, price: str) -> None:
        moment = FUTURE if start is None else at(start)
        same = next((version for version in self.resource.left() if version.start == moment), None)
        arguments: dict[str, Any] = {"units": {"text": {"input_price": float(price)}}, "start_timestamp": moment}
        with refused("resource_already_exists", when=same is not None and same.price != price):
            made = self.client.categories.resources.create("r", category="c", **arguments)
            if same is None:
                assert made.resource_id not in {version.resource_id for version in self.resource.versions}
                same = Modelled(made.resource_id, moment, price)
                self.resource.versions.append(same)
            self.compare(made, same)

    @rule(data=st.data())
    def delete_one(self, data: st.DataObject) -> None:
        if not self.resource.versions:
            return
        version = data.draw(st.sampled_from(self.resource.versions))
        with refused("category_resource_not_found", when=version.deleted):
            deleted = self.client.categories.resources.delete(version.resource_id, category="c", resource="r")
            version.deleted = True
            self.compare(deleted, version)

    @rule()
    def delete_all(self) -> None:
        left = self.resource.left()
        with refused("category_resource_not_found", when=not left):
            deleted = self.client.categories.delete_resource("r", category="c")
            for version in left:
                version.deleted = True
            for shown, version in zip(deleted, left, strict=True):
                self.compare(shown, version)

    @rule()
    def delete_category(self) -> None:
        left = self.resource.left()
        with refused("category_not_found", when=not left and self.kept is None):
            deleted = self.client.categories.delete("c")
            for version in left:
                version.deleted = True
            kept = [] if self.kept is None else [self.kept]
            assert [shown.resource_id for shown in deleted[: len(kept)]] == kept  # by name: before `r`
            assert not any(shown.active for shown in deleted)
            self.kept = None
            assert "c" not in {item.category for item in self.client.categories.list()}
            for shown, version in zip(deleted[len(kept) :], left, strict=True):
                self.compare(shown, version)

    @rule(tick=st.integers(-1, 10) | st.just(None))
    def use(self, tick: int | None) -> None:
        """Use the resource at a tick, or now: the future version is not valid then."""
        moment = None if tick is None else at(tick)
        version = self.resource.resolve(moment or datetime.now(UTC))
        known = self.kept is not None or bool(self.resource.left())
        with refused("category_resource_not_found" if known else "category_not_found", when=version is None):
            response = self.client.ingest.units(
                category="c", resource="r", units={"text": {"input": 1}}, event_timestamp=moment
            )
            assert version is not None
            self.priced[response.request_id] = (version.resource_id, version.price)

    @invariant()
    def every_version_ends_where_the_next_begins(self) -> None:
        if not self.resource.versions:
            return
        listed = self.client.categories.resources.list("r", category="c", sort_ascending=True).items
        left = self.resource.left()
        assert [item.resource_id for item in listed] == [version.resource_id for version in left]
        for shown, version in zip(listed, left, strict=True):
            self.compare(shown, version)
        deleted = self.client.categories.resources.list("r", category="c", active=False).items
        assert {item.resource_id for item in deleted} == {version.resource_id for version in self.resource.gone()}
        for version in self.resource.versions:
            shown = self.client.categories.resources.retrieve(version.resource_id, category="c", resource="r")
            self.compare(shown, version)

    @invariant()
    def one_version_stands_for_the_resource(self) -> None:
        shown = {item.resource: item.resource_id for item in self.client.categories.list_resources("c")}
        left = self.resource.left()
        expected = self.resource.resolve(datetime.now(UTC)) or (left[0] if left else None)
        wanted = {"kept": self.kept, "r": expected.resource_id if expected else None}
        assert shown == {name: resource_id for name, resource_id in wanted.items() if resource_id is not None}

    @invariant()
    def a_category_is_listed_while_it_has_a_resource(self) -> None:
        active = self.kept is not None or bool(self.resource.left())
        gone = [item.category for item in self.client.categories.list(active=False)]
        assert gone == ([] if active else ["c"])

    @invariant()
    def what_was_priced_stays_priced(self) -> None:
        for request_id, (resource_id, price) in self.priced.items():
            result = self.client.requests.request_id.result.retrieve(request_id).xproxy_result
            assert result.cost is not None
            assert (result.resource_id, f"{result.cost.total.base_exact}") == (resource_id, price)

    def compare(self, shown: CategoryResourceResponse, version: Modelled) -> None:
        assert (shown.resource_id, shown.start_timestamp) == (version.resource_id, version.start)
        assert shown.active is not version.deleted
        assert f"{shown.units['text'].input_price_exact}" == version.price
        assert shown.end_timestamp == self.resource.end(version)


ValidityMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
test_any_history_of_versions_and_events = ValidityMachine.TestCase


class ValidityMachineOnPostgres(ValidityMachine):
    """The same where transactions go over a connection."""

    meter = "postgres"


ValidityMachineOnPostgres.TestCase.settings = settings(max_examples=5, stateful_step_count=20)
test_any_history_of_versions_and_events_on_postgres = ValidityMachineOnPostgres.TestCase
