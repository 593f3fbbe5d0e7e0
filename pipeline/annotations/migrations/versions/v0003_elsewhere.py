"""Votes say themselves whether they were given elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the mark, and set it where the request had told it: `import`.

    A browser could name its request so too. Nobody judges in one before agreeing to take part, and
    who answered elsewhere never comes to agree; nor have they a request of any other name, but
    what a study that was restored has.
    """
    op.add_column(
        "votes", sa.Column("elsewhere", sa.Boolean, nullable=False, server_default=sa.false())
    )
    votes = sa.table(
        "votes",
        *(sa.column(name) for name in ("study", "annotator", "request")),
        sa.column("elsewhere", sa.Boolean),
    )
    people = sa.table(
        "annotators", *(sa.column(name) for name in ("study", "annotator", "consented"))
    )
    other = votes.alias()
    agreed = sa.exists().where(
        people.c.study == votes.c.study,
        people.c.annotator == votes.c.annotator,
        people.c.consented.is_not(None),
    )
    browsed = sa.exists().where(
        other.c.study == votes.c.study,
        other.c.annotator == votes.c.annotator,
        other.c.request != "import",
        ~other.c.request.like("restored %"),
    )
    imported = votes.update().where(votes.c.request == "import", ~agreed, ~browsed)
    op.execute(imported.values(elsewhere=sa.true()))
