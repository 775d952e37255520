from __future__ import annotations

import re

from gradwatch import ids
from gradwatch.layers import Layer, LayerTable, read_layers
from gradwatch_service import domain

RICH = {
    "name": "fc1.weight",
    "kind": "linear",
    "depth": 2,
    "shape": [8, 4],
    "dtype": "bfloat16",
    "activation": "relu",
    "normalised": True,
    "residual": False,
}
HASH = "b108f2b95fc9e53f4a541056d1f115f6a85ee7f9f1b1964b5cdf305d09f1175c"


def test_the_hash_of_a_table_is_the_one_the_service_computes() -> None:
    layers, unread = read_layers([RICH, "größe"])
    table = LayerTable(tuple(layers))
    theirs = domain.LayerTable(
        (domain.Layer(**{**RICH, "shape": (8, 4)}), domain.Layer("größe"))  # type: ignore[arg-type]
    )
    assert unread == 0
    assert table.hash == theirs.hash
    assert table.hash == HASH


def test_a_table_travels_without_what_is_as_it_is_by_default() -> None:
    layers, _ = read_layers([RICH, "plain", {"name": "deep", "depth": 3}])
    table = LayerTable(layers)
    assert table.described() == [RICH, {"name": "plain"}, {"name": "deep", "depth": 3}]
    read_back, unread = read_layers(table.described())
    assert (LayerTable(read_back).hash, unread) == (table.hash, 0)


def test_a_table_without_layers_has_no_hash() -> None:
    assert LayerTable().hash == ""


def test_a_table_grows_at_its_end_and_keeps_its_columns() -> None:
    first = LayerTable((Layer("a"), Layer("b")))
    grown = first.extended([Layer("c"), Layer("a", kind="linear"), Layer("c")])
    assert grown.columns == {"a": 0, "b": 1, "c": 2}
    assert grown.layers[0] == Layer("a")
    assert first.extended([Layer("b")]) is first


def test_descriptions_are_read_as_far_as_they_make_sense() -> None:
    odd = {"name": "x", "kind": 3, "depth": -5, "shape": "wide", "normalised": "yes", "dtype": None}
    long = {"name": "y", "kind": "k" * 100, "shape": list(range(30)), "depth": 2_000_000}
    layers, unread = read_layers([odd, long, {"kind": "linear"}, 7, Layer("z"), {"name": ["q"]}])
    assert layers[0] == Layer("x")
    assert layers[1] == Layer("y", kind="k" * 64, shape=tuple(range(16)))
    assert layers[2] == Layer("z")
    assert unread == 3


def test_something_that_is_no_list_of_layers_is_one_misunderstanding() -> None:
    assert read_layers(42) == ([], 1)


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    made = [ids.uuid7() for _ in range(50)]
    assert {(item.version, item.variant) for item in made} == {(7, "specified in RFC 4122")}
    assert len(set(made)) == 50
    millis = [item.int >> 80 for item in made]
    assert millis == sorted(millis)


def test_writer_names_tell_the_rank_and_are_unique() -> None:
    names = {ids.writer_name(3) for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch("r3-[0-9a-f]{12}", name) for name in names)
