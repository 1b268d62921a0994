"""The form of an export's files, shared by who writes them and who checks them; pure."""
