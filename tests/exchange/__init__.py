"""What comes from elsewhere: imports, other databases, other projects."""
