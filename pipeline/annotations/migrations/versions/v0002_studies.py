"""User studies: their items, annotators, trials and votes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables of studies."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "studies",
        sa.Column("study", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created", moment, nullable=False),
    )
    in_study = ("studies.study",)
    op.create_table(
        "study_items",
        sa.Column("study", sa.Text, primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["study"], in_study, ondelete="CASCADE"),
    )
    op.create_table(
        "annotators",
        sa.Column("study", sa.Text, primary_key=True),
        sa.Column("annotator", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("consented", moment),
        sa.ForeignKeyConstraint(["study"], in_study, ondelete="CASCADE"),
    )
    op.create_table(
        "trials",
        sa.Column("study", sa.Text, primary_key=True),
        sa.Column("annotator", sa.Text, primary_key=True),
        sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("swapped", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("issued", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["study", "annotator"],
            ["annotators.study", "annotators.annotator"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("trials_of_item", "trials", ["study", "item"])
    op.create_table(
        "votes",
        sa.Column("study", sa.Text, primary_key=True),
        sa.Column("annotator", sa.Text, primary_key=True),
        sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("response_ms", sa.Integer),
        sa.Column("created", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["study", "annotator", "trial"],
            ["trials.study", "trials.annotator", "trials.trial"],
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("study", "annotator", "trial", "request", name="votes_once"),
    )
