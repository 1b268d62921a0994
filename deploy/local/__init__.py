"""The whole suite on one machine, on real PostgreSQL and NATS, without docker or a package manager.

`python -m deploy.local up` is what a person runs; `Stack` is what tests and the demo hold.
"""
