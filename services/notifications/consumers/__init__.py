"""The doors that no caller uses: the facts of conversations, changed states, and time."""
