"""How well parts of speech are told without looking at the words around: measured on a treebank.

    python benchmarks/lexical_composition.py en_ewt-ud-test.conllu

takes the words of a CoNLL-U file (such as those of github.com/UniversalDependencies/UD_English-EWT) and prints, for
each class, its share of the words by the treebank and by `class_of`, and how many of its words were told right.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from sharegpt4v.corpora.captions import WORD
from sharegpt4v.corpora.lexicon import CLASSES, class_of

CLASS_OF_TAG = {
    "NOUN": "noun", "PROPN": "noun", "ADJ": "adjective", "ADV": "adverb", "VERB": "verb", "AUX": "verb",
    "NUM": "numeral", "ADP": "preposition",
}  # fmt: skip


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("treebank", type=Path, help="a CoNLL-U file")
    pairs: Counter[tuple[str, str]] = Counter()
    for line in parser.parse_args().treebank.read_text(encoding="utf-8").splitlines():
        columns = line.split("\t")
        if len(columns) == 10 and columns[0].isdigit() and WORD.fullmatch(columns[1].lower()):
            pairs[CLASS_OF_TAG.get(columns[3], "other"), class_of(columns[1].lower())] += 1
    total = pairs.total()
    print(f"{total:,} words, {sum(pairs[name, name] for name in CLASSES) / total:.1%} told right\n")
    print("| Class | Treebank, % | Here, % | Told right, % |\n|---|---|---|---|")
    for name in CLASSES:
        theirs = sum(pairs[name, other] for other in CLASSES)
        here = sum(pairs[other, name] for other in CLASSES)
        print(f"| {name} | {theirs / total:.1%} | {here / total:.1%} | {pairs[name, name] / max(theirs, 1):.1%} |")


if __name__ == "__main__":
    main()
