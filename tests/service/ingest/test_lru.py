from gradwatch_service.ingest.lru import Lru


def test_what_was_used_least_recently_makes_room():
    kept: Lru[str, int] = Lru(3)
    assert [kept.put(key, number) for number, key in enumerate("abc")] == [[], [], []]
    assert kept.get("a") == 0
    assert kept.put("d", 3) == [("b", 1)]
    assert [key in kept for key in "abcd"] == [True, False, True, True]
    assert kept.get("b") is None


def test_heavy_values_make_room_for_themselves_and_the_newest_stays():
    kept: Lru[str, int] = Lru(10)
    kept.put("a", 1, 4)
    kept.put("b", 2, 4)
    assert kept.put("c", 3, 50) == [("a", 1), ("b", 2)]
    assert kept.get("c") == 3
    assert kept.put("d", 4, 1) == [("c", 3)]


def test_a_value_that_is_put_again_weighs_what_it_weighs_now():
    kept: Lru[str, int] = Lru(10)
    kept.put("a", 1, 9)
    assert kept.put("a", 2, 5) == []
    assert kept.put("b", 3, 5) == []
    assert kept.put("b", 4, 6) == [("a", 2)]


def test_what_is_cleared_weighs_nothing():
    kept: Lru[str, int] = Lru(10)
    kept.put("a", 1, 10)
    kept.clear()
    assert "a" not in kept
    assert kept.put("b", 2, 5) + kept.put("c", 3, 5) == []
