"""Moving in, and living beside other databases: imports, federated reading, export and merge."""
