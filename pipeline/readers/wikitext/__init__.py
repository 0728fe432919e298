"""MediaWiki's markup to text that a language model can read.

The steps are those of MediaWiki itself: tags of extensions, then templates and links from the inside out, then lines.
What comes out is HTML, which the extractor of pages writes as Markdown, so that tables, lists and code of wikis look as
those of every other source do.
"""

from pipeline.readers.wikitext.convert import Converted, convert
from pipeline.readers.wikitext.site import Site, site_of

__all__ = ["Converted", "Site", "convert", "site_of"]
