"""The catalogue and its stock; a participant of the order saga."""
