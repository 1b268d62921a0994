"""The whole suite on one machine, on real PostgreSQL and NATS, without docker or a package manager.

`python -m deploy.local up` is what a person runs; `Stack` is what tests and the demo hold.
"""

import os

# Programs are started from processes that hold gRPC channels. Its handlers of fork are for those
# who go on calling in the child, and have been seen to write into what the child then opens.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
