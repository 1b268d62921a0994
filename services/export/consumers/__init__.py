"""The NATS door. This service consumes the directory's states alone, through its replica."""
