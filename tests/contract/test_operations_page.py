"""docs/operations.md says what the code does."""

from tests.contract.operations_page import PAGE, with_tables


def test_the_tables_of_the_page_are_those_of_the_code():
    page = PAGE.read_text()

    assert with_tables(page) == page, "run: python -m tests.contract.operations_page"
