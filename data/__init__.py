"""Files, grids, coordinate systems, classes, batches and maps. No file here imports the network."""
