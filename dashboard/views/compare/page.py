"""Compare: dictionaries in columns, features through the layers, chosen features side by side."""

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.page import furniture
from dashboard.style import hints
from dashboard.views.compare import columns, flow
from dashboard.views.compare import features as compare_features

run = opening.current()
every = cached.dictionaries(run)
features, unread = address.asked_features()
looks = ["Dictionaries", "Flow"]
if features or unread:
    looks = ["Chosen features", *looks]
look = furniture.segments(
    "Compare", looks, default=looks[0], **address.own("look"),
    help=hints.COMPARE, label_visibility="collapsed",
)  # fmt: skip
if look == "Chosen features":
    compare_features.show(run, every, features, unread)
elif len(every) < 2 or not queries.has_matches(run.connection):
    furniture.empty(
        "There is nothing to compare: the bundle holds one dictionary, or was made before matches "
        "were computed. Run the pipeline again, with two or more dictionaries."
    )
elif look == "Dictionaries":
    columns.show(run, every)
else:
    flow.show(run, every)
