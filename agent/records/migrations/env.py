"""What Alembic runs: on the connection that `agent.records.migrate` gives it, in its transaction.

A new step: `alembic revision`'s like, by hand, in ``versions``, frozen from then on; `tables.py`
says what all of them make together.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
