"""How the tables of call records came to be as they are, one step a file (Alembic)."""
