"""Orders of every outcome, driven through the shop's HTTP door, with the books proved at the end."""
