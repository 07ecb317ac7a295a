"""Parse XML of unknown origin: sidecar files, and texts inside a raster file.

A document type declaration can define entities that expand to gigabytes ("billion laughs"), or that
name other files. No format that is read here needs one. So XML with one is refused.

Read beside it: tests/data/raster/test_auxxml.py.
"""

from __future__ import annotations

from xml.etree import ElementTree

LARGEST = 2**22  # bytes; parsed, a text takes up to forty times as much memory


class _Tree(ElementTree.TreeBuilder):
    """A tree without a document type."""

    def doctype(self, *declaration: str | None) -> None:
        raise ValueError("it declares a document type")


def parse(text: bytes) -> ElementTree.Element:
    """Parse a text to its root element.

    Raises:
        ValueError: The text is not XML, has a document type declaration, or is too large.
    """
    if len(text) > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 2**20} MiB")
    try:
        return ElementTree.XML(text, ElementTree.XMLParser(target=_Tree()))
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: unknown encoding
        raise ValueError(f"it is not XML: {error}") from error
