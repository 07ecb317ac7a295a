"""From files to batches: everything that knows files, grids and coordinate systems, and knows no
network.
"""
