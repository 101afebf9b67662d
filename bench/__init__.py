"""How fast a running shop is: `python -m bench`."""
