"""What processes say to each other, and the bounds on all that a candidate's process may say."""
