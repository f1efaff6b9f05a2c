"""What tests, demo and benchmark share: throw-away databases and projects, and an oracle that compares databases.

Standard library only (and psycopg, when PostgreSQL is used), so that a plain script can use it without pytest.
"""
