"""The service's own database: units of work, and the statements that travel in them."""
