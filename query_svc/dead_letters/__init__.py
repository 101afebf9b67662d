"""Dead letters: taken out of their queues, and kept where a person finds them, to mend or to give up."""
