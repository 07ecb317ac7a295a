"""Small Sentinel-2 products in the format of ESA, for the tests."""

import datetime
from pathlib import Path

import imagecodecs
import numpy as np

NAME = "S2B_MSIL2A_{:%Y%m%d}T100559_N0511_R022_T32TPS_20240830T134009.SAFE"
# The bands of the instrument. Level-2A products do not contain B10.
BANDS = "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12".split()
RESOLUTIONS = {10: "B02 B03 B04 B08", 20: "B01 B02 B05 B06 B07 B8A B11 B12", 60: "B01 B02 B09 B11"}

PRODUCT = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
  <n1:General_Info>
    <Product_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">{quantification}</BOA_QUANTIFICATION_VALUE>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
      {offsets}
      <Spectral_Information_List>{spectral}</Spectral_Information_List>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-2A_User_Product>
"""
TILE = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone 32N</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>
      {sizes}
    </Tile_Geocoding>
  </n1:Geometric_Info>
</n1:Level-2A_Tile_ID>
"""


def write(
    folder: Path, numbers: dict, day=30, offset: int | None = -1000, quantification=10000
) -> Path:
    """A product of digital numbers {(band, resolution): (h, w) array}."""
    path = folder / NAME.format(datetime.date(2024, 8, day))
    granule = path / "GRANULE" / "L2A_T32TPS_A038765_20240830T100558"
    granule.mkdir(parents=True)
    lines = "".join(f'<BOA_ADD_OFFSET band_id="{n}">{offset}</BOA_ADD_OFFSET>' for n in range(13))
    spectral = [
        f'<Spectral_Information bandId="{n}" physicalBand="{band}"/>'
        for n, band in enumerate(BANDS)
    ]
    offsets = (
        f"<BOA_ADD_OFFSET_VALUES_LIST>{lines}</BOA_ADD_OFFSET_VALUES_LIST>"
        if offset is not None
        else ""
    )
    text = PRODUCT.format(
        baseline="05.11" if offset else "02.13",
        quantification=quantification,
        offsets=offsets,
        spectral="".join(spectral),
    )
    (path / "MTD_MSIL2A.xml").write_text(text)
    sizes = {resolution: array.shape for (_, resolution), array in numbers.items()}
    size = '<Size resolution="{0}"><NROWS>{1}</NROWS><NCOLS>{2}</NCOLS></Size>'
    position = (
        '<Geoposition resolution="{0}"><ULX>600000</ULX><ULY>5100000</ULY>'
        "<XDIM>{0}</XDIM><YDIM>-{0}</YDIM></Geoposition>"
    )
    parts = [text.format(r, *shape) for text in (size, position) for r, shape in sizes.items()]
    (granule / "MTD_TL.xml").write_text(TILE.format(sizes="".join(parts)))
    for (band, resolution), array in numbers.items():
        file = (
            granule / f"IMG_DATA/R{resolution}m/T32TPS_202408{day}T100559_{band}_{resolution}m.jp2"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        # The compression is lossless, as in ESA's files.
        data = imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(array, np.uint16), codecformat="jp2", reversible=True, level=0
        )
        file.write_bytes(data)
    return path


def full(folder: Path, size=120, seed=0, **changes) -> tuple[Path, dict]:
    """All bands that L2A has, of random numbers."""
    random = np.random.default_rng(seed)
    numbers = {
        (band, resolution): random.integers(1001, 9000, (size * 10 // resolution,) * 2).astype(
            np.uint16
        )
        for resolution, names in RESOLUTIONS.items()
        for band in names.split()
    }
    return write(folder, numbers, **changes), numbers
