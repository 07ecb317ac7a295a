"""The class tables of this package as CSV files, and the parsing for data/classes.py.

    catalonia     Land Cover Map of Catalonia (1 m, 0 = no data) in 12 classes
    corine        CORINE Land Cover (CLC), European Environment Agency: the 5 classes of level 1
    corine2       the same raster: the 15 classes of level 2
    deepglobe     Land Cover Classification of the DeepGlobe challenge 2018, masks in colours
    dubai         "Semantic segmentation of aerial imagery" (Mohammed Bin Rashid Space Centre and
                  Humans in the Loop), masks in colours. Black pixels at some rims are unlabelled.
    dynamicworld  Dynamic World V1 (Google, World Resources Institute), band `label`. It has no code
                  for no data: name the value of masked pixels at the export. 0 is water.
    esm           European Settlement Map (Joint Research Centre): built-up areas by their use. Code
                  0, no data, and code 1 are the class "other".
    sen1floods11  Sen1Floods11, hand labels: -1 no data, 0 not water, 1 water
    worldcover    ESA WorldCover 2020 (v100) and 2021 (v200), 10 m

A raster of CLC has the grid codes 1 to 44 or the CLC codes 111 to 523 of level 3. The two do not
overlap, so the tables `corine` and `corine2` hold both. Rasters of level 1 or level 2 codes need a
table of their own: their codes 1 to 5 or 11 to 52 are other classes among the grid codes. No data
are 48 and 999, and -128, which some programs show as 128. 49, 50, 255, 990 and 995 are unclassified
and are ignored. The legend of CLC has colours for level 3 only. A class of level 1 or 2 has the
colour of its first class of level 3.

Sources of codes and colours: clc_legend.csv of the CLC rasters, the colour table of the WorldCover
files, the page GOOGLE/DYNAMICWORLD/V1 of the Earth Engine catalogue, the page of the Dubai data.

Read beside it: tests/data/tables/test_builtin.py.
"""

KNOWN = {
    "catalonia": "Land Cover Map of Catalonia",
    "corine": "CORINE Land Cover 1-44 or 111-523, as level 1",
    "corine2": "CORINE, as level 2",
    "deepglobe": "DeepGlobe 2018, coloured masks",
    "dubai": "aerial images of Dubai, coloured masks",
    "dynamicworld": "Google Dynamic World",
    "esm": "European Settlement Map: built-up areas",
    "sen1floods11": "Sen1Floods11: water",
    "worldcover": "ESA WorldCover",
}


def listed() -> str:
    """List the class tables of this package, and what each stands for, in one line."""
    return ", ".join(f"{name} ({title})" for name, title in KNOWN.items())
