"""Styles of QGIS: files with which QGIS shows a raster that it opens.

QGIS reads img_landcover.qml by itself when it opens img_landcover.tif. Without a style:

    classes     The colour map of a TIFF has an entry for every code, so the legend has 256 rows,
                or 65,536. A map with negative codes, or codes beyond 16 bits, has no colours.
    fractions   The first three bands are shown as red, green and blue.

The style of a raster of classes has a row for each class. No-data has no row and is transparent,
because the raster declares its value. The style of fractions (probabilities, uncertainty) shows
the first band from 0 to 1 in the colours of viridis. Bytes are shown as fractions, too, since QGIS
applies the scale that the file declares. Elements and attributes are some of those that QGIS 3.22
writes. The others have the default values that QGIS gives them.

People edit styles, and QGIS saves them under the same name. So the first line of a style holds the
checksum of the others. A later map replaces only styles whose checksum is right:

    <!-- Written with the map. A style that is changed is kept. 5f2d8a03 -->

Read beside it: tests/data/output/test_styles.py.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from data.files import printable, replacing
from data.raster.sidecars import named_after
from data.terminal import note

# Nine colours of viridis, from 0 to 1. Their lightness increases in equal steps, so that people who
# do not distinguish red from green see the order, too. Source: S. van der Walt and N. Smith,
# bids.github.io/colormap.
VIRIDIS = "#440154 #472d7b #3b528b #2c728e #21918c #28ae80 #5ec962 #addc30 #fde725".split()

MARK = "<!-- Written with the map. A style that is changed is kept. {:08x} -->\n"
STYLE = """<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer {renderer} band="1" opacity="1" alphaBand="-1" nodataColor="">
{content}
    </rasterrenderer>
  </pipe>
</qgis>
"""
PALETTE = """      <colorPalette>
{entries}
      </colorPalette>"""
SHADER = """      <rastershader>
        <colorrampshader {ramp} classificationMode="1" clip="0" minimumValue="0" maximumValue="1">
          <colorramp type="gradient" name="[source]">
            <Option type="Map">
{options}
            </Option>
          </colorramp>
{items}
        </colorrampshader>
      </rastershader>"""


def beside(path: str | os.PathLike) -> Path:
    """Return the style of a raster: map.qml for map.tif."""
    return Path(path).with_suffix(".qml")


def outputs(path: str | os.PathLike) -> list[Path]:
    """List a raster that is written, the files named after it, and its style."""
    return [*named_after(path), beside(path)]


def of_classes(names: Mapping[int, str], colors: Mapping[int, Sequence[int]]) -> str | None:
    """Format the style of a raster of classes, with a row for each named code that has a colour.

    Args:
        names: {code: name}.
        colors: {code: (red, green, blue)}.

    Returns:
        The text of the style; None if it would have no row.
    """
    entries = [
        f'        <paletteEntry value="{code}" color="#{bytes(colors[code]).hex()}" alpha="255"'
        f" label={quoteattr(printable(name))}/>"
        for code, name in names.items()
        if code in colors
    ]
    if not entries:
        return None
    content = PALETTE.format(entries="\n".join(entries))
    return STYLE.format(renderer='type="paletted"', content=content)


def of_fractions() -> str:
    """Format the style of a raster of numbers from 0 to 1."""
    values = [place / (len(VIRIDIS) - 1) for place in range(len(VIRIDIS))]
    items = [
        f'          <item value="{value:g}" color="{color}" alpha="255" label="{value:g}"/>'
        for value, color in zip(values, VIRIDIS)
    ]
    rgba = [",".join(map(str, (*bytes.fromhex(color[1:]), 255))) for color in VIRIDIS]
    first, *between, last = rgba
    stops = ":".join(f"{value:g};{color}" for value, color in zip(values[1:], between))
    given = {"color1": first, "color2": last, "discrete": 0, "rampType": "gradient", "stops": stops}
    options = [
        f'              <Option type="QString" name="{name}" value="{value}"/>'
        for name, value in given.items()
    ]
    ramp = 'colorRampType="INTERPOLATED"'
    content = SHADER.format(ramp=ramp, options="\n".join(options), items="\n".join(items))
    renderer = 'type="singlebandpseudocolor" classificationMin="0" classificationMax="1"'
    return STYLE.format(renderer=renderer, content=content)


def write(raster: str | os.PathLike, style: str | None) -> None:
    """Write the style of a raster. A style that is not `ours` is kept, with a remark.

    Args:
        raster: The raster.
        style: The text of `of_classes` or `of_fractions`; None: remove the style of an earlier map.
    """
    path = beside(raster)
    if os.path.lexists(path) and not ours(path):
        if style:
            note(
                f"{path}: is kept, because it was changed or made by another program; to get the "
                "style of the new map, remove it and map again"
            )
    elif style:
        with replacing(path) as temporary:
            temporary.write_text(_marked(style), encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def ours(path: Path) -> bool:
    """Return whether a file is a style that `write` wrote and that nobody has changed since."""
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return text == _marked(text.partition("\n")[2])


def _marked(style: str) -> str:
    """Put the line with the checksum before a style."""
    return MARK.format(zlib.crc32(style.encode())) + style
