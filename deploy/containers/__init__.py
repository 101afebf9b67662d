"""The shop in containers: its secrets, and a run that shows that all of it works."""
