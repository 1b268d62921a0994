"""What the ledger's rows explain."""

from services.conversations.domain.explaining import Kind, LedgerRow, causes_of_deliveries


def test_mail_that_comes_back_is_said_before_what_became_of_it():
    rows = [LedgerRow(b"push", not_arriving=False), LedgerRow(b"mail", not_arriving=True)]

    causes = causes_of_deliveries(rows)

    assert [cause.kind for cause in causes] == [
        Kind.MAIL_NOT_ARRIVING,
        Kind.NOTIFICATION,
        Kind.NOTIFICATION,
    ]
    assert [cause.delivery for cause in causes] == [None, b"push", b"mail"]


def test_mail_that_arrives_is_told_as_it_is():
    (cause,) = causes_of_deliveries([LedgerRow(b"mail", not_arriving=False)])

    assert (cause.kind, cause.delivery) == (Kind.NOTIFICATION, b"mail")
