"""The operators' console: pages at /console that show what the shop does and put right what went wrong."""
