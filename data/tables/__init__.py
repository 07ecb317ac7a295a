"""The class tables of this package as CSV files, and the parsing for data/classes.py."""
