"""The doors of callers: gRPC, and the one HTTP route that a mail's reader reaches."""
