"""Numbers and pictures read back from the SVG of a figure."""

import base64
import re
from xml.etree import ElementTree

import imagecodecs
import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


class Drawn:
    """A figure as it stands in its file.

    Args:
        text: The text of the file.
    """

    def __init__(self, text: str):
        self.root = ElementTree.fromstring(text)

    def all(self, tag: str, **wanted: str) -> list[ElementTree.Element]:
        """Find the elements of a tag, in order, whose attributes have the wanted values."""
        given = {name.strip("_").replace("_", "-"): value for name, value in wanted.items()}
        elements = self.root.iter(SVG + tag)
        return [e for e in elements if all(e.get(n) == v for n, v in given.items())]

    def one(self, tag: str, **wanted: str) -> ElementTree.Element:
        """Find the only such element."""
        (element,) = self.all(tag, **wanted)
        return element

    @property
    def words(self) -> list[str]:
        """All texts."""
        return ["".join(element.itertext()) for element in self.all("text")]

    def words_in(self, group: str) -> list[str]:
        """The texts of a group, in order."""
        return [text.text or "" for text in self.one("g", id=group).iter(SVG + "text")]

    def number(self, pattern: str) -> float:
        """Find the only text that matches, and read the number of the first group."""
        found = [match for words in self.words if (match := re.search(pattern, words))]
        assert len(found) == 1, (pattern, found)
        return float(found[0][1].replace(",", "").replace("\N{MINUS SIGN}", "-"))

    def values(self, plot: str, x, y) -> tuple[np.ndarray, np.ndarray]:
        """Convert coordinates to the values of a plot."""
        limits = [float(number) for number in self.one("g", id=plot).get("data-plot").split()]
        found = []
        for at, (first, last, low, high) in zip((x, y), (limits[:4], limits[4:])):
            found.append(low + (np.asarray(at) - first) / (last - first) * (high - low))
        return found[0], found[1]

    def curve(self, plot: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read the x and y values of a line."""
        points = self.one("polyline", data_curve=f"{plot} {name}").get("points").split()
        x, y = np.array([point.split(",") for point in points], float).T
        return self.values(plot, x, y)

    def bars(self, plot: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read the edges (n, 2) and the heights (n,) of bars."""
        path = self.one("path", data_bars=f"{plot} {name}").get("d")
        numbers = np.array(re.findall(r"M(\S+?) \S+?V(\S+?)H(\S+?)V", path), float).reshape(-1, 3)
        left, heights = self.values(plot, numbers[:, 0], numbers[:, 1])
        right, _ = self.values(plot, numbers[:, 2], numbers[:, 1])
        return np.stack([left, right], axis=1), heights

    def dot(self, plot: str, name: str) -> tuple[float, float]:
        """Read the values of a dot."""
        dot = self.one("circle", data_dot=f"{plot} {name}")
        x, y = self.values(plot, float(dot.get("cx")), float(dot.get("cy")))
        return float(x), float(y)

    def picture(self, name: str) -> np.ndarray:
        """Decode an embedded PNG, (H, W, 3) uint8."""
        return decoded(self.one("image", data_name=name))


def decoded(image: ElementTree.Element) -> np.ndarray:
    """Decode an embedded picture, (H, W, 3) uint8."""
    kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", image.get("href")).groups()
    decode = {"png": imagecodecs.png_decode, "jpeg": imagecodecs.jpeg8_decode}[kind]
    return decode(base64.b64decode(data))
