"""How well the words that the pipeline finds for features name them, where tags say what is shown.

    python bench/labels.py                     on the demo's run
    python bench/labels.py data/runs/mine      on another one whose images have tags

A feature has a clear tag where its top images share one far above chance (`label_score` above 0.7).
The literal baselines: the words of another feature drawn at random, and the commonest word of all.
"""

import argparse
import random
from collections import Counter
from pathlib import Path

import duckdb

CLEAR = 0.7
FOUND = """
SELECT d.basis, f.label, list(l.label ORDER BY l.rank) AS words,
    list(l.tells ORDER BY l.rank)[1] AS tells
FROM features f JOIN dictionaries d USING (dictionary_id)
JOIN labels l USING (dictionary_id, feature_id)
WHERE l.kind = 'word' AND f.label_score > ?
GROUP BY d.basis, f.label, f.dictionary_id, f.feature_id
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("data/runs/demo"))
    run = parser.parse_args().run
    with duckdb.connect(str(run / "bundle/loupe.duckdb"), read_only=True) as connection:
        rows = connection.execute(FOUND, [CLEAR]).fetchall()
    draw = random.Random(0)
    print(
        "| features with a clear tag | | first word is the tag | tag among the words | mean tells |"
    )
    print("|---|---|---|---|---|")
    for basis in sorted({row[0] for row in rows}, reverse=True):
        here = [row for row in rows if row[0] == basis]
        every = [words for _, _, words, _ in here]
        common = [name for name, _ in Counter(w for words in every for w in words).most_common(3)]
        tells = [t for _, _, _, t in here if t is not None]
        mean = f"{sum(tells) / len(tells):.2f}" if tells else ""
        for name, given in (
            ("its words", every),
            ("another feature's words", draw.sample(every, len(every))),
            ("the commonest words", [common] * len(here)),
        ):
            pairs = [(row[1], words) for row, words in zip(here, given, strict=True)]
            first = sum(tag == words[0] for tag, words in pairs) / len(pairs)
            among = sum(tag in words for tag, words in pairs) / len(pairs)
            shown = mean if given is every else ""
            print(f"| {basis}: {len(here)} | {name} | {first:.0%} | {among:.0%} | {shown} |")


if __name__ == "__main__":
    main()
