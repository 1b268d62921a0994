"""Links in text: http and https only, in code points (R39)."""

from time import perf_counter

import pytest

from services.conversations.domain.links import links_in


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ("see https://clinic.test/a?b=c#d.", ["https://clinic.test/a?b=c#d"]),
        ("(http://a.test/x(1)) and <https://b.test>", ["http://a.test/x(1)", "https://b.test"]),
        ("HTTPS://LOUD.TEST!", ["HTTPS://LOUD.TEST"]),
        ("javascript:alert(1) ftp://a.test data:text/html,x", []),
        ("https:// nothing", []),
        ("", []),
    ],
)
def test_only_web_links_are_found_without_the_punctuation_after_them(body, urls):
    assert [span.url for span in links_in(body)] == urls


def test_a_span_counts_code_points():
    body = "👩‍⚕️ Åse: https://a.test/ö ok"

    (span,) = links_in(body)

    assert body[span.offset : span.offset + span.length] == span.url == "https://a.test/ö"


def test_a_body_of_punctuation_costs_no_more_than_another():
    """Links are looked for at every reading, on the loop that serves everybody else too."""
    body = "http://a" + ")" * 9_990
    seconds = []
    for _ in range(3):
        began = perf_counter()
        links_in(body)
        seconds.append(perf_counter() - began)

    assert min(seconds) < 0.05
