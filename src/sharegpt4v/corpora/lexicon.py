"""The part of speech of a word, for the lexical composition of captions (paper, supplement).

It is looked up word by word: the tag that a word has most often in the Brown corpus and the Penn Treebank, by the
lexicon of Brill's tagger as TextBlob brings it. The words around it are not looked at, so a word of two kinds is always
of its commoner kind ("light" is a noun, "open" an adjective). Words that are not in the lexicon are judged by Brill's
rules on their endings. Auxiliaries and modals count as verbs, particles ("up", "off") and "to" as prepositions, "not"
as an adverb; articles, pronouns and conjunctions are "other".

On the test part of UD English EWT (web texts) 89 % of the words are told right, as many as with the tagger's rules on
neighbouring words, and the share of every class is within one point of the treebank's, but for 3 points too many
prepositions: "to" before a verb. `benchmarks/lexical_composition.py` measures it. How the paper told parts of speech is
not known.
"""

from __future__ import annotations

from functools import cache
from typing import Any

CLASSES = ("noun", "adjective", "adverb", "verb", "numeral", "preposition", "other")

# The beginnings of the Penn Treebank's tags.
CLASS_OF_TAG = {
    "NN": "noun", "JJ": "adjective", "RB": "adverb", "WRB": "adverb", "VB": "verb", "MD": "verb", "CD": "numeral",
    "IN": "preposition", "TO": "preposition", "RP": "preposition",
}  # fmt: skip

# The treebank gives these the tag of prepositions.
CONJUNCTIONS = {"although", "because", "if", "that", "though", "unless", "whereas", "whether", "while"}


@cache
def class_of(word: str) -> str:
    """Return which of `CLASSES` a word is; it is lower-case, and may hold hyphens and apostrophes."""
    if word[0].isdigit():
        return "numeral"
    if word in CONJUNCTIONS:
        return "other"
    tag = _tag(word.removesuffix("'s"))
    return next((CLASS_OF_TAG[tag[:length]] for length in (2, 3) if tag[:length] in CLASS_OF_TAG), "other")


def _tag(word: str) -> str:
    """Return the tag of a word; proper nouns are in the lexicon with a capital."""
    lexicon = _lexicon()
    found = lexicon.get(word) or lexicon.get(word.capitalize())
    return str(found or lexicon.morphology.apply([word, "NN"])[1])


@cache
def _lexicon() -> Any:
    """TextBlob's lexicon, a dictionary of 94,000 words. It takes a second to load."""
    from textblob.en import lexicon

    return lexicon
