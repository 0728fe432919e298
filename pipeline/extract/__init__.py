"""From pages to their main text: the product's own extractor, others in a sandbox, and what pages say of themselves."""


def main_text(html: bytes | str, preset: str = "balanced") -> str:
    """Return the main text of a page, bytes in whatever encoding the page says.

    Args:
        preset: `fast`, `balanced` or `quality`; others raise ValueError. `content.content` has more settings.
    """
    from pipeline.extract.content import content, preset_named

    return content(html, preset=preset_named(preset), encoding=None).text
