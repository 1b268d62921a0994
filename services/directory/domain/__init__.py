"""The rules of clinics, people and sign-ins: frozen values and pure functions."""
