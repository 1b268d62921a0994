"""A mail server for one machine: it takes every mail, sends none on, and shows them.

`python -m deploy.local.mailbox`; people open its page, tests read its JSON and program its faults.
"""
