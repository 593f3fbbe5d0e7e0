"""Compare: dictionaries in columns, features through the layers, chosen features side by side."""

from dashboard import connection, queries, state, widgets, words
from dashboard.views import compare_columns, compare_features, compare_flow

run = connection.current()
every = connection.dictionaries(run.connection, run.key)
features, unread = state.asked_features()
looks = ["Dictionaries", "Flow"]
if features or unread:
    looks = ["Chosen features", *looks]
look = widgets.segments(
    "Compare", looks, default=looks[0], **state.own("look"),
    help=words.COMPARE, label_visibility="collapsed",
)  # fmt: skip
if look == "Chosen features":
    compare_features.show(run, every, features, unread)
elif len(every) < 2 or not queries.has_matches(run.connection):
    widgets.empty(
        "There is nothing to compare: the bundle holds one dictionary, or was made before matches "
        "were computed. Run the pipeline again, with two or more dictionaries."
    )
elif look == "Dictionaries":
    compare_columns.show(run, every)
else:
    compare_flow.show(run, every)
