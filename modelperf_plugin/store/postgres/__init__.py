"""The store in a PostgreSQL database, for hosts on more than one machine. Import it only for a PostgreSQL URL."""
