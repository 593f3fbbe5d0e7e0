"""What became of a text, word by word."""

from difflib import SequenceMatcher


def new_words(before: str, after: str) -> list[tuple[str, bool]]:
    """The words of `after`, each with whether `before` does not have it there: it stands in the
    place of others, or between them. Words are what blanks part."""
    old, new = before.split(), after.split()
    kept = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    same = {block.b + step for block in kept for step in range(block.size)}
    return [(word, number not in same) for number, word in enumerate(new)]


def words_changed(before: str, after: str) -> int:
    """How many words of `after` `before` does not have there (see `new_words`)."""
    return sum(new for _, new in new_words(before, after))
