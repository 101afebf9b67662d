"""What goes wrong in a local run and is a matter for the person at the terminal."""


class FleetError(Exception):
    """Its message says what happened and what to do; shown without a traceback."""
