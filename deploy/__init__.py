"""How Sagamart is run: its services' declaration, local runs, containers."""
