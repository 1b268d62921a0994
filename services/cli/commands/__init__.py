"""What a person can type, one module a subject; each adds its commands to the parser."""
