"""The push services of Google and Apple for one machine: they take every push and show them.

`python -m deploy.local.pushes`; people open its page, tests read its JSON and program its faults.
"""
