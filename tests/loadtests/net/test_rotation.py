from chatswarm.loadtests.net.rotation import RETRY_AFTER, Rotation


def test_each_address_is_first_in_its_turn() -> None:
    turns = Rotation(["a", "b", "c"])
    assert [turns.order(0.0) for _ in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_one_address_is_always_first() -> None:
    turns = Rotation(["a"])
    turns.failed("a", 0.0)
    assert turns.order(0.0) == turns.order(1.0) == ["a"]


def test_an_address_that_failed_comes_last_until_it_may_be_retried() -> None:
    turns = Rotation(["a", "b", "c"])
    turns.failed("b", 10.0)
    assert [turns.order(11.0) for _ in range(3)] == [["a", "c", "b"], ["c", "a", "b"], ["a", "c", "b"]]
    assert {turns.order(10.0 + RETRY_AFTER)[0] for _ in range(3)} == {"a", "b", "c"}


def test_an_address_that_works_again_has_its_turn_at_once() -> None:
    turns = Rotation(["a", "b"])
    turns.failed("b", 10.0)
    turns.worked("b")
    assert {turns.order(11.0)[0] for _ in range(2)} == {"a", "b"}


def test_if_all_addresses_failed_the_first_to_fail_is_tried_first() -> None:
    turns = Rotation(["a", "b", "c"])
    for at, address in enumerate(["c", "a", "b", "c"]):
        turns.failed(address, float(at))
    assert turns.order(5.0) == ["a", "b", "c"]


def test_an_address_that_is_listed_twice_has_one_turn() -> None:
    assert Rotation(["a", "a", "b"]).addresses == ("a", "b")


def test_a_caller_may_choose_the_turn() -> None:
    turns = Rotation(["a", "b"])
    assert [turns.order(0.0, turn)[0] for turn in (0, 1, 2, 2)] == ["a", "b", "a", "a"]
    assert turns.order(0.0)[0] == "a"
