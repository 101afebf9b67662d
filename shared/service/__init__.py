"""What a service is made of, and the process that it runs in."""
