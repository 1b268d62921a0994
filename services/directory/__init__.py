"""Clinics, the people of a clinic, and their sign-ins."""
