"""Stars, notes, labels and lists of features."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "stars",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("feature_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("author", sa.Text, primary_key=True),
        sa.Column("dictionary_id", sa.Text, nullable=False),
        sa.Column("created", moment, nullable=False),
    )
    op.create_index("stars_of_author", "stars", ["author", "created"])
    for name in ("notes", "labels"):
        op.create_table(
            name,
            sa.Column("fingerprint", sa.Text, primary_key=True),
            sa.Column("feature_id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("author", sa.Text, primary_key=True),
            sa.Column("dictionary_id", sa.Text, nullable=False),
            sa.Column("text", sa.Text, nullable=False),
            sa.Column("created", moment, nullable=False),
            sa.Column("changed", moment, nullable=False),
        )
    op.create_table(
        "lists",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("changed", moment, nullable=False),
    )
    op.create_table(
        "list_items",
        sa.Column(
            "list", sa.Text, sa.ForeignKey("lists.uuid", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("feature_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("dictionary_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("added", moment, nullable=False),
    )
    op.create_index("items_in_order", "list_items", ["list", "position"])
