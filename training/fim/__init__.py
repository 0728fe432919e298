"""Fill-in-the-middle: documents rearranged so that a model learns to write what lies between two texts.

Bavarian et al. 2022 (arXiv 2207.14255): a text is cut at two random characters and the three parts are tokenised each
by itself, so that at inference a cut may fall inside of a token. That changes the number of tokens, while the order of
training needs every length before a text is tokenised. So a rearranged text is laid out on its plain tokens, three
sentinels, SLACK and an end token; cuts whose parts do not fit are drawn again, in the end at token boundaries, which
always fit; and what stays free is padding behind the end token. Nothing of a text is ever cut off.

A text that is longer than a sequence is divided, by arithmetic, into parts of at most `span` tokens. Each is rearranged
by itself and ends with an end token, because a model cannot use a suffix that lies outside of its context.
"""

from training.fim.layout import EXTRA, LEAST, SENTINELS, SLACK, Mode, restore, span
from training.fim.parts import rearrange

__all__ = ["EXTRA", "LEAST", "SENTINELS", "SLACK", "Mode", "rearrange", "restore", "span"]
