"""What can be measured, one module each: its aims, and how it runs."""
