"""All SQL of the directory: one store a noun, in the caller's transaction."""
