"""What comes from other programs and projects, and goes to them."""
