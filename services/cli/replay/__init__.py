"""Real people and real words: dialogues spoken by imported people, read back and compared."""
