"""What a person runs beside the shop: demo, verify, replay and trace."""
