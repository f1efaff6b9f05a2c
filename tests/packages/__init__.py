"""Migrations of published packages, taken back and compared: slow, needs PyPI, and runs only when it is asked for."""
