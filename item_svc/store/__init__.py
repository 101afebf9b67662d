"""What item asks of its database in SQL: lists, and rows under locks. All else goes through its models."""
