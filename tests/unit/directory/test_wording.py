"""Real people's names pass; what breaks a header or turns a text around does not."""

from datetime import UTC, date, datetime

import pytest

from services.chassis.errors import InvalidArgument
from services.directory.domain.wording import (
    checked_birth_date,
    checked_email,
    checked_name,
    checked_optional_name,
    checked_phone,
    email_key,
    phone_key,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "Pat Doe",
        "Cher",
        "O",
        "Siobhán O'Brien-Ní Dhubhghaill",
        "D\u2019Arcy",
        "María José de la Cruz y Gómez",
        "Nguyễn Thị Minh Khai",
        "Ελένη Παπαδοπούλου",
        "Наталья Ильинична",
        "أحمد بن يوسف",
        "מרים כהן",
        "王小明",
        "김지은",
        "สมหญิง ใจดี",
        "நா. முத்துக்குமார்",
        "\u0645\u0647\u062f\u06cc\u200c\u0632\u0627\u062f\u0647",
        "X Æ A-12",
        "Null",
        "Robert'); DROP TABLE profiles;--",
        "Dr. Jean-Luc van der Berg, Jr.",
        "a" * 200,
    ],
)
def test_a_persons_name_is_taken_as_it_is(name):
    assert checked_name(name, field="display_name") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "\u3000",
        "...",
        "\u200d\u200c",
        "Pat\nDoe",
        "Pat\r\nBcc: all@example.org",
        "Pat\x00",
        "Pat\x0bDoe",
        "Pat\x85Doe",
        "Pat\u2028Doe",
        "Pat\u2029Doe",
        "Pat\x7f",
        "Pat\u202eeoD",
        "Pat\u2066Doe",
        "a" * 201,
    ],
)
def test_what_is_no_name_is_refused_by_the_fields_name(name):
    with pytest.raises(InvalidArgument) as refused:
        checked_name(name, field="profile.display_name")

    assert refused.value.field == "profile.display_name"
    assert "Bcc" not in refused.value.message


def test_white_space_around_a_name_is_no_part_of_it():
    assert checked_name("  Pat Doe \u00a0", field="f") == "Pat Doe"
    assert checked_optional_name("  ", field="f") == ""


@pytest.mark.parametrize(
    "address",
    [
        "",
        "pat@example.org",
        "o'brien@example.org",
        "pat.doe+clinic@sub.example.co.uk",
        "p@x.io",
        "PAT_DOE-1@Example.ORG",
        "jörg@müller.example",
        "用户@例子.test",
        "1@2.example",
        "!#$%&*/=?^`{|}~@example.org",
        "a" * 64 + "@example.org",
    ],
)
def test_an_address_in_use_is_taken_as_it_is(address):
    assert checked_email(address, field="email") == address


@pytest.mark.parametrize(
    "address",
    [
        "pat",
        "pat@",
        "@example.org",
        "pat@localhost",
        "pat@@example.org",
        "pat doe@example.org",
        "a@example.org,b@example.org",
        "a@example.org; b@example.org",
        "Pat <pat@example.org>",
        '"pat doe"@example.org',
        "pat(comment)@example.org",
        "pat..doe@example.org",
        ".pat@example.org",
        "pat.@example.org",
        "pat@-example.org",
        "pat@example-.org",
        "pat@exa_mple.org",
        "pat@example..org",
        "pat@example.org.",
        "pat@[127.0.0.1]",
        "pat@example.org\n",
        "pat@example.org\r\nBcc: b@example.org",
        "pat\x00@example.org",
        "pat@example.org\u2028",
        "pat\\@example.org",
        "a" * 65 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + ".".join(["b" * 60] * 5),
    ],
)
def test_what_is_not_exactly_one_address_is_refused(address):
    with pytest.raises(InvalidArgument) as refused:
        checked_email(address, field="profile.email")

    assert refused.value.field == "profile.email"


def test_two_spellings_of_an_address_are_one_and_a_tag_makes_another():
    assert email_key(" Pat@Example.ORG ") == email_key("pat@example.org")
    assert email_key("pat+a@example.org") != email_key("pat@example.org")


@pytest.mark.parametrize(
    "number", ["", "112", "555-0100", "+1 (555) 010-0100", "0049/30.123456", "+353 1 555 0100"]
)
def test_a_number_is_taken_as_dialled(number):
    assert checked_phone(number, field="phone") == number


@pytest.mark.parametrize(
    "number", ["12", "1" * 16, "call me", "555 0100 x5", "555\n0100", "٠١٢٣٤", "+", "5550100;"]
)
def test_what_cannot_be_dialled_is_refused(number):
    with pytest.raises(InvalidArgument):
        checked_phone(number, field="phone")


def test_two_ways_to_write_a_number_have_its_digits_in_common():
    assert phone_key("(555) 010-0100") == phone_key("555.010.0100")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("", None),
        ("1984-02-29", date(1984, 2, 29)),
        ("1899-12-31", date(1899, 12, 31)),
        ("2026-03-02", date(2026, 3, 2)),
    ],
)
def test_a_birth_date_is_a_day(text, day):
    assert checked_birth_date(text, field="birth_date", now=NOW) == day


@pytest.mark.parametrize(
    "text",
    [
        "1983-02-29",
        "84-02-29",
        "19840229",
        "1984-2-9",
        "29.02.1984",
        "x",
        "2026-03-04",
        "0000-01-01",
    ],
)
def test_what_is_no_day_or_has_not_begun_is_refused(text):
    with pytest.raises(InvalidArgument):
        checked_birth_date(text, field="birth_date", now=NOW)


def test_a_child_born_where_the_day_begins_first_was_not_born_tomorrow():
    evening = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

    assert checked_birth_date("2026-03-03", field="f", now=evening) == date(2026, 3, 3)
