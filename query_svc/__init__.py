"""The read side: every event kept, and what is read from them: orders, timelines, rankings, sales."""
