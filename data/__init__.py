"""From files to batches: everything that knows files, grids and coordinate systems, and knows no network."""


class InputError(ValueError):
    """Something a user can mend: the message is one line, `file: what is wrong; what to do`.

    The scripts print it without a traceback and leave with status 2. Mistakes of a programmer stay
    ordinary exceptions and keep their traceback.
    """
