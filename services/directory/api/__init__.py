"""The gRPC door; the only place where protobuf becomes our types and back."""
