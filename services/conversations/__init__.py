"""Conversations: one-to-one threads between staff and patients, and everything read in them."""
