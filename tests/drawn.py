"""What is drawn in an SVG text: lines and dots."""

from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def points(svg: str) -> tuple[list, list]:
    """The lines, as lists of (x, y), and the dots, as (x, y)."""
    root = ElementTree.fromstring(svg)
    lines = [e.get("points") for e in root.iter(f"{SVG}polyline")]
    dots = [(float(e.get("cx")), float(e.get("cy"))) for e in root.iter(f"{SVG}circle")]
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines], dots
