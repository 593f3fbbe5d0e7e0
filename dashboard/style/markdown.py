"""Text of other people's in Streamlit's Markdown, shown as it is."""

import re

JOINER = "\u2060"
"""Shows as nothing and joins what it stands between; no address, icon or arrow has one in it. What
is copied has it too, so that it stands in these alone."""
APART = re.compile(
    r":(?=//|material/|[\w+-]+[:\[])|@(?=\w)|www(?=\.)"
    r"|(?<!\S)(?=(?:<->|<-|->|>=|<=|~=)(?!\S))[<>~-]",
    re.IGNORECASE,
)
"""Behind these Streamlit's Markdown, after it has read escapes, looks for addresses, icons, emoji,
colours and arrows. (It makes one dash of two between blanks: those stand in commands, to be
copied.)"""
MARKUP = re.compile(
    r"[\\`*\[\]<>|~:$&]|(?<![^\W_])_|_(?![^\W_])|^[#+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]"
)
"""What could start an image, a link, a formula, emphasis, a list or other markup."""


def plain(text: str) -> str:
    """`text` so that Streamlit's Markdown shows it as it is, in one line: no image, link, icon,
    formula or other markup. For messages, labels and the options of pills and segments; those of
    selections are plain by themselves."""
    line = re.sub(r"[^\S \u00a0]+", " ", text).strip(" ")
    return MARKUP.sub(r"\\\g<0>", APART.sub(rf"\g<0>{JOINER}", line))
