"""Stand-ins for the base images, made from Debian's packages, where no image registry can be reached."""
