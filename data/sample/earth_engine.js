// Export the 11 bands of a Sentinel-2 image from Google Earth Engine, as a GeoTIFF for train.py.
//
// The image is the median of one summer without clouds: Level-2A reflectance x 10,000, uint16,
// 10 m, EPSG:3857, 0 where there is no data. The file arrives in your Google Drive as town_000.tif.
//
// How to use it: open https://code.earthengine.google.com, paste this file, draw a rectangle called
// `geometry` on the map, choose Run, and start the export in the Tasks panel.
//
// train.py and predict.py know the bands by the names B2 to B12: B2, B3 and B4 are Blue, Green and
// Red, B8 is NIR, B11 and B12 are SWIR1 and SWIR2.
//
// This script was not run for this project, because Earth Engine needs an account.

var bands = ['B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B11', 'B12'];

// SCL is the scene classification of Level-2A: 4 vegetation, 5 bare soil, 6 water, 7 unclassified.
function withoutClouds(scene) {
  var clear = scene.select('SCL').remap([4, 5, 6, 7], [1, 1, 1, 1], 0);
  return scene.updateMask(clear);
}

var image = ee.ImageCollection('COPERNICUS/S2_SR_HARMONIZED')
  .filterBounds(geometry)
  .filterDate('2019-05-01', '2019-09-30')
  .filter(ee.Filter.lt('CLOUDY_PIXEL_PERCENTAGE', 20))
  .map(withoutClouds)
  .select(bands)
  .median()
  .unmask(0)
  .toUint16();

Export.image.toDrive({
  image: image,
  description: 'town_000',
  region: geometry,
  crs: 'EPSG:3857',
  scale: 10,
  maxPixels: 1e9,
  formatOptions: {noData: 0}
});
