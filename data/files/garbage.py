"""Rarer searches for garbage. Import this module before torch.

Python looks for objects that only refer to each other after every 700 new ones. The imports of
torch and this project make hundreds of thousands of objects that stay, and are looked through again
and again: a seventh of the start. Reference counts free all other objects at once, as before.
"""

import gc

gc.set_threshold(50_000, 20, 20)
