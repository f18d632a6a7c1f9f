"""Moving everything from one store to another while hosts record."""
