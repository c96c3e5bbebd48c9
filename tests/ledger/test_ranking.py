"""The first few by rank, against a plain sort."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.ranking import Ranking

names = st.sampled_from("abcdef")
steps = st.lists(st.tuples(names, st.none() | st.tuples(st.integers(0, 3))), max_size=40)


@given(steps, st.integers(0, 7))
def test_first_are_those_of_a_sort(steps: list[tuple[str, tuple[int] | None]], count: int) -> None:
    """Whatever was put, put again elsewhere and dropped before, and however often it is asked for."""
    ranking: Ranking[tuple[int]] = Ranking()
    plain: dict[str, tuple[int]] = {}
    for name, rank in steps:
        if rank is None:
            ranking.drop(name)
            plain.pop(name, None)
        else:
            ranking.put(name, rank)
            plain[name] = rank
        expected = sorted(plain, key=lambda each: (plain[each], each))[:count]
        assert ranking.first(count) == expected


def test_what_no_longer_holds_is_let_go_of() -> None:
    """One that moves for ever takes no more memory than one that stands still."""
    ranking: Ranking[tuple[int]] = Ranking()
    for rank in range(1000):
        ranking.put("a", (rank,))
        assert ranking.first(1) == ["a"]
    assert len(ranking._heap) <= 3
