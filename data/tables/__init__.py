"""Class tables: the tables by name, and what data/classes.py needs to read them."""
