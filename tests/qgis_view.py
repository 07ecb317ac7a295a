"""What QGIS makes of rasters and their styles. Run by a Python that has QGIS's package, Debian's:

    /usr/bin/python3 tests/qgis_view.py view seen.json a.tif b.tif    open rasters as a user does
    /usr/bin/python3 tests/qgis_view.py record tests/recorded a.tif  write the styles anew

`view` tells of each raster the rows of the legend, the colours of its pixels on the canvas, and the
style as QGIS saves it again.
`record` writes the styles with which the tests compare ours where QGIS is missing. QGIS 3.22.16
wrote them, of renderers that are made here by its own classes.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from qgis.core import (
    QgsApplication,
    QgsColorRampShader,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsPalettedRasterRenderer,
    QgsRasterLayer,
    QgsRasterShader,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

CLASSES = {1: ("other", "#c8c8c8"), 250: ('a<b> & "c", forêt', "#8250c8")}
RAMP = "#440154 #472d7b #3b528b #2c728e #21918c #28ae80 #5ec962 #addc30 #fde725".split()


def paletted(provider) -> QgsPalettedRasterRenderer:
    """A renderer of CLASSES."""
    row = QgsPalettedRasterRenderer.Class
    rows = [row(code, QColor(color), name) for code, (name, color) in CLASSES.items()]
    return QgsPalettedRasterRenderer(provider, 1, rows)


def pseudocolor(provider) -> QgsSingleBandPseudoColorRenderer:
    """A renderer of RAMP from 0 to 1."""
    values = [place / 8 for place in range(9)]
    stops = [QgsGradientStop(value, QColor(color)) for value, color in zip(values, RAMP)][1:-1]
    gradient = QgsGradientColorRamp(QColor(RAMP[0]), QColor(RAMP[-1]), False, stops)
    function = QgsColorRampShader(0, 1, gradient)
    item = QgsColorRampShader.ColorRampItem
    function.setColorRampItemList([item(v, QColor(c), f"{v:g}") for v, c in zip(values, RAMP)])
    shader = QgsRasterShader(0, 1)
    shader.setRasterShaderFunction(function)
    renderer = QgsSingleBandPseudoColorRenderer(provider, 1, shader)
    renderer.setClassificationMin(0)
    renderer.setClassificationMax(1)
    return renderer


def saved(layer: QgsRasterLayer) -> str:
    """The style of a layer, only its symbology, as QGIS saves it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "style.qml"
        message, done = layer.saveNamedStyle(str(path), QgsMapLayer.Symbology)
        assert done, message
        return path.read_text(encoding="utf-8")


def record(folder: Path, raster: str) -> None:
    """Write both styles. `raster` is any raster of one band."""
    for name, renderer in ("classes", paletted), ("fractions", pseudocolor):
        layer = QgsRasterLayer(raster, name)
        layer.setRenderer(renderer(layer.dataProvider()))
        (folder / f"qgis_{name}.qml").write_text(saved(layer), encoding="utf-8")


def view(path: str) -> dict:
    """Open a raster, which loads the style beside it, and draw it in its own resolution."""
    layer = QgsRasterLayer(path, "layer")
    assert layer.isValid(), path
    renderer, settings = layer.renderer(), QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(layer.width(), layer.height()))
    settings.setBackgroundColor(QColor(0, 0, 0, 0))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    if renderer.type() == "paletted":
        rows = [(row.value, row.label, row.color.name()) for row in renderer.classes()]
    elif renderer.type() == "singlebandpseudocolor":
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        rows = [(item.value, item.label, item.color.name()) for item in items]
    else:
        rows = []
    return {
        "renderer": renderer.type(),
        "rows": rows,
        "style": saved(layer),
        "pixels": [
            [image.pixelColor(col, row).getRgb() for col in range(image.width())]
            for row in range(image.height())
        ],
    }


def main(what: str, to: str, *rasters: str) -> None:
    """Run one of the two commands."""
    application = QgsApplication([], False)
    application.initQgis()
    if what == "record":
        record(Path(to), *rasters)
    else:
        Path(to).write_text(json.dumps([view(raster) for raster in rasters]), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # QGIS 3.22 may crash when Python takes its objects apart


if __name__ == "__main__":
    main(*sys.argv[1:])
