"""May a staff member message a profile: every combination of the facts (R1, R3, I13 to I15)."""

from itertools import product

import pytest

from services.messaging_rule import (
    Facts,
    Override,
    WhyNot,
    why_not_message,
    why_not_write,
    whys_not_message,
)

ALL = [
    Facts(
        clinic_allows=allows,
        staff_active=active,
        override=override,
        profile_merged=merged,
        do_not_email=quiet,
    )
    for allows, active, override, merged, quiet in product(
        (True, False), (True, False), Override, (True, False), (True, False)
    )
]


@pytest.mark.parametrize("facts", ALL)
def test_the_first_rule_in_the_way_is_the_reason(facts):
    gate = {
        Override.ALLOW: None,
        Override.BLOCK: WhyNot.MESSAGING_BLOCKED,
        Override.INHERIT: None if facts.clinic_allows else WhyNot.MESSAGING_DISABLED,
    }[facts.override]
    either_side = (
        (WhyNot.PROFILE_MERGED if facts.profile_merged else None)
        or (None if facts.staff_active else WhyNot.STAFF_INACTIVE)
        or gate
    )

    assert why_not_write(facts) is either_side
    assert why_not_message(facts) is (
        either_side or (WhyNot.RECIPIENT_DO_NOT_EMAIL if facts.do_not_email else None)
    )


@pytest.mark.parametrize("facts", ALL)
def test_all_that_is_in_the_way_begins_with_what_a_send_is_told(facts):
    whys = whys_not_message(facts)

    assert next(iter(whys), None) is why_not_message(facts)
    assert len(whys) == sum(
        (
            facts.profile_merged,
            not facts.staff_active,
            facts.override is Override.BLOCK,
            facts.override is Override.INHERIT and not facts.clinic_allows,
            facts.do_not_email,
        )
    )
