"""Search by any part of a name, as ranges (design of the search box, R5, R6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.search_terms import fold, ranges, terms, words


def finds(query: str, name: str) -> bool:
    stored = terms(name)
    wanted = ranges(query)
    return bool(wanted) and all(any(low <= term < high for term in stored) for low, high in wanted)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("zo", "Zoë Müller"),
        ("MULLER", "Zoë Müller"),
        ("müll zo", "Zoë Müller"),
        ("ulle", "Zoë Müller"),
        ("obrien", "Áine OBrien"),
        ("brien", "Áine O'Brien"),
        ("strasse", "Straße"),
        ("lodz", "Łódź"),
        ("j", "J"),
        ("pat+clinic", "pat+clinic@example.test"),
        ("example.test", "pat+clinic@example.test"),
        ("5551", "555-186-2275 5551862275"),
    ],
)
def test_a_part_of_a_name_finds_it(query, name):
    assert finds(query, name)


@pytest.mark.parametrize(
    ("query", "name"),
    [("ul", "Müller"), ("zoe ann", "Zoë Müller"), ("", "Zoë"), ("--", "Zoë"), ("%", "Zoë")],
)
def test_what_is_no_part_of_it_does_not(query, name):
    assert not finds(query, name)


@given(st.text(min_size=1, max_size=60))
def test_a_name_is_found_by_itself_and_every_prefix_of_its_words(name):
    for word in words(name):
        assert finds(word, name)
        assert finds(word[:1], name)


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing_more(text):
    assert fold(fold(text)) == fold(text)
