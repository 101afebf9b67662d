"""What every request passes: who asks, how often, what a body and a header may say, how it is answered."""
