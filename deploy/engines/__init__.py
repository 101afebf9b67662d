"""Other servers than the machine's own: fetched from newer Debian suites, and the shop run on them."""
